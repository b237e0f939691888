//! The import of a file: a look at what would become of it, the import and the way back.

use serde_json::json;

use crate::open;
use crate::support::eventually;

const FILE: &str = "Link,Custom Link,Date created,Title,Destination URL,Engagements,Status
https://bit.ly/one,,2024-03-10T12:15:09+0000,<b>First</b>,https://example.com/one,1200,Active
https://bit.ly/two,,2024-03-11T12:15:09+0000,,https://example.com/two,0,Deleted
https://bit.ly/health,,2024-03-12T12:15:09+0000,,https://example.com/three,7,Active
";

/// Chooses a file as a person does who drops it.
fn drop_file(content: &str) -> String {
    format!(
        "const data = new DataTransfer(); data.items.add(new File([{}], 'links.csv', {{type: 'text/csv'}})); \
         document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {{dataTransfer: data, bubbles: true, cancelable: true}}))",
        json!(content)
    )
}

#[tokio::test]
async fn dropped_file_is_tried_imported_and_undone() {
    let (tern, browser) = open(&[], "/admin/").await;
    tern.create_user("ada").await;
    browser.wait_text("No links yet").await;
    browser.click("main a", "Import links").await;
    browser.wait_text("Drop the file of the other service here").await;
    browser.inspect("import-empty").await;
    browser.run(&drop_file(FILE)).await;
    browser.wait_text("This is a CSV export of Bitly").await;
    browser.wait_text("<b>First</b>").await;
    browser.wait_text("reserved").await;
    assert_eq!(tern.get_json("/urls").await, json!([]), "a look writes nothing");
    browser.inspect("import-trial").await;
    browser.click("main button", "Import 2 links").await;
    browser.wait_text("2 links are imported.").await;
    eventually("the link is served", async || tern.follow(&tern.fast, "one").await.0 == 302).await;
    browser.inspect("import-done").await;
    browser.click("main button", "Undo the import").await;
    browser.wait_text("The import is undone.").await;
    browser.inspect("import-undone").await;
    assert_eq!(tern.get_json("/urls").await, json!([]));
    browser.check_faults().await;
}

#[tokio::test]
async fn owner_is_asked_for_and_an_unknown_file_says_what_to_do() {
    let (tern, browser) = open(&[], "/admin/").await;
    for user in ["ada", "ben"] {
        tern.create_user(user).await;
    }
    browser.goto(&format!("http://{}/admin/import", tern.api)).await;
    browser.wait("document.querySelector('#import-user_id')").await;
    let choose = "const it = document.querySelector('#import-user_id'); it.value = '2'; it.dispatchEvent(new Event('change', {bubbles: true}))";
    browser.run(choose).await;
    browser.run(&drop_file("colour,taste\nred,sweet\n")).await;
    browser.wait("document.querySelector('.import .error').innerText.includes('colour')").await;
    browser.inspect("import-error").await;
    browser.run(&drop_file(FILE)).await;
    browser.click("main button", "Import 2 links").await;
    browser.wait_text("2 links are imported.").await;
    assert_eq!(tern.get_json("/urls?short_code=one").await[0]["user_id"], 2);
    browser.goto(&format!("http://{}/admin/import", tern.api)).await;
    browser.wait("document.querySelector('#import-user_id')?.value === '2'").await;
    browser.check_faults().await;
}
