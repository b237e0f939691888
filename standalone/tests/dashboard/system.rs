//! The screen of the system.

use serde_json::json;

use crate::open;

#[tokio::test]
async fn system_shows_the_redirector_of_one_process_and_that_all_is_well() {
    let (tern, browser) = open(&["--sample"], "/admin/system").await;
    browser.wait("document.querySelectorAll('.stacked tbody tr').length === 1").await;
    browser.wait_text("Everything works.").await;
    let row = browser.run("return document.querySelector('.stacked tbody tr').innerText").await;
    let row = row.as_str().unwrap();
    for part in [&*tern.fast, "2,000", env!("CARGO_PKG_VERSION")] {
        assert!(row.contains(part), "{row} lacks {part}");
    }
    browser.wait_text("SQLite").await;
    browser.inspect("system").await;
    let system = tern.get_json("/system").await;
    assert_eq!((&system["problems"], &system["bus"]["kind"]), (&json!([]), &json!("in process")));
    assert_eq!(system["redirectors"][0]["links"], 2_000);
    // The state is read again and again, and what is wrong is said with what to do.
    let problem =
        json!({"message": "The database does not answer", "runbook": "docs/RUNBOOK.md#ternserviceunreachable"});
    let answer = "const answer = structuredClone(SYSTEM); answer.problems = [PROBLEM, {...PROBLEM, message: 'Redis does not answer'}]; \
        answer.redirectors[0].staleness_seconds = 42.3; answer.redirectors[0].clicks_waiting = 12345; answer.redirectors[0].oldest_click_seconds = 71; \
        answer.redirectors.push({...answer.redirectors[0], id: 'x', host: 'edge-2', reported_seconds_ago: 9.4, clicks_dropped: 17}); \
        const fetch = window.fetch; window.fetch = (path, ...rest) => path === '/system' ? Promise.resolve(Response.json(answer)) : fetch(path, ...rest)";
    let answer = answer.replace("SYSTEM", &system.to_string()).replace("PROBLEM", &problem.to_string());
    browser.run(&answer).await;
    browser.wait_text("2 problems").await;
    browser.wait_text("docs/RUNBOOK.md#ternserviceunreachable").await;
    browser.wait_text("silent for 9 s").await;
    browser.inspect("system-problems").await;
}
