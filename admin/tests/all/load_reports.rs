//! Loads whose skipped rows cannot be reported.

use std::fs::File;

use tern_admin::load::OnError;

use crate::support::{App, spawn_app};

/// Opens a device that is always full.
fn open_full_device() -> File {
    File::options().write(true).open("/dev/full").unwrap()
}

/// Loads files with a report that cannot be written; returns what was printed, and the error.
async fn load_unreported(app: &App, files: &[(&str, &str)]) -> (String, String) {
    let command = app.load_command(OnError::Skip, files);
    let mut printed = Vec::new();
    let error = app.run_load_into(&command, &mut printed, &mut open_full_device()).await.unwrap_err();
    (String::from_utf8(printed).unwrap(), error)
}

const USERS: &str = "id,username,email\n1,ann,ann@mail.example\n2,ann,ann2@mail.example\n";
const URLS: &str = "id,user_id,short_code,original_url\n1,1,aaaaa1,https://a.example/\n2,2,aaaaa2,https://a.example/\n";

#[tokio::test]
async fn load_with_unwritable_report_still_reports_loaded_files() {
    let app = spawn_app().await;
    app.load(&[("first.csv", "id,username,email\n2,eve,eve@mail.example\n")]).await.unwrap();
    let (printed, error) = load_unreported(&app, &[("users.csv", USERS), ("urls.csv", URLS)]).await;
    let full = "the report of skipped rows cannot be written: No space left on device (os error 28)";
    assert_eq!(
        printed,
        format!(
            "Loaded 1 rows into User from users.csv: 1 skipped; {full}\n\
             Loaded 1 rows into Url from urls.csv: 1 skipped; {full}\n"
        )
    );
    assert_eq!(
        error,
        "users.csv, urls.csv: loaded, but the report of skipped rows is cut short; load again to see which rows are still refused"
    );
    assert_eq!(app.get("/users").await.ids(), [1, 2]);
    assert_eq!(app.get("/urls").await.ids(), [1], "links of the skipped user belong to another user with its id");
}

#[tokio::test]
async fn long_unwritable_report_does_not_end_the_load() {
    let app = spawn_app().await;
    let rows: String = (0..3000).map(|n| format!("u{n},nonsense\n")).collect();
    let users = format!("username,email\n{rows}ann,ann@mail.example\n");
    let (printed, _) = load_unreported(&app, &[("users.csv", &users)]).await;
    assert!(printed.starts_with("Loaded 1 rows into User from users.csv: 3000 skipped; the report"), "{printed}");
    assert_eq!(app.get("/users").await.json()[0]["username"], "ann");
}

#[tokio::test]
async fn faulty_file_with_unwritable_report_is_not_reported_as_loaded() {
    let app = spawn_app().await;
    let unclosed = "username,email\nann,nonsense\nbob,\"bob@mail.example\n";
    let (printed, error) = load_unreported(&app, &[("users.csv", unclosed)]).await;
    assert_eq!(
        (printed.as_str(), error.as_str()),
        ("", "users.csv: line 3: the quote opened in line 3 is never closed")
    );
    assert!(app.get("/users").await.ids().is_empty());
}

#[tokio::test]
async fn load_with_unwritable_output_names_the_loaded_file() {
    let app = spawn_app().await;
    let command = app.load_command(OnError::Fail, &[("users.csv", "username,email\nann,ann@mail.example\n")]);
    let error = app.run_load_into(&command, &mut open_full_device(), &mut Vec::new()).await.unwrap_err();
    let expected = "users.csv: was loaded, but standard output cannot be written (No space left on device (os error \
                    28)); no later file is loaded";
    assert_eq!(error, expected);
    assert_eq!(app.get("/users").await.json()[0]["username"], "ann");
}
