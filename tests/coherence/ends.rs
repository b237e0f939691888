//! Ends and starts of links: each redirector keeps them by its own clock, without a message, a database or a write.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tern_tests::{Fleet, eventually};

/// The status and the location of an answer; an empty text is no location.
type Expected = (u16, &'static str);

/// Links that change by themselves: the code, the time that is set, the columns beside it, and the answers before and
/// after that time.
const LINKS: [(&str, &str, &str, Expected, Expected); 4] = [
    ("ends", "expires_at", "title = NULL", (302, "https://ends.example/"), (410, "")),
    (
        "moves",
        "expires_at",
        "expired_url = 'https://over.example/', redirect_status = 307",
        (307, "https://moves.example/"),
        (302, "https://over.example/"),
    ),
    ("starts", "starts_at", "redirect_status = 301", (404, ""), (301, "https://starts.example/")),
    ("off", "starts_at", "is_active = false", (410, ""), (410, "")),
];

#[tokio::test(flavor = "multi_thread")]
async fn link_ends_exactly_at_its_time_on_every_redirector_without_database_and_redis() {
    let mut fleet = Fleet::start(1, &[]).await;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let at = UNIX_EPOCH + Duration::from_secs(now + 12);
    for (code, time, columns, before, _) in LINKS {
        fleet.psql(&format!(
            "INSERT INTO urls (user_id, short_code, original_url, is_active, created_at, updated_at)
             SELECT min(id), '{code}', 'https://{code}.example/', true, now(), now() FROM users;
             UPDATE urls SET {time} = to_timestamp({now} + 12), {columns} WHERE short_code = '{code}'"
        ));
        for redirector in 0..fleet.redirectors.len() {
            eventually("the link is served", async || fleet.look_up(redirector, code).await == expected(before)).await;
        }
    }
    fleet.postgres.stop();
    fleet.redis.stop();
    assert!(SystemTime::now() < at, "the machine was too slow to prepare the links");
    let (mut early, mut late) = ([0; 2], [0; 2]);
    while SystemTime::now() < at + Duration::from_secs(2) {
        for redirector in 0..fleet.redirectors.len() {
            for (code, _, _, before, after) in LINKS {
                let asked = SystemTime::now();
                let answer = fleet.look_up(redirector, code).await;
                if SystemTime::now() < at {
                    assert_eq!(answer, expected(before), "{code} before its time on redirector {redirector}");
                    early[redirector] += 1;
                } else if asked >= at {
                    assert_eq!(answer, expected(after), "{code} after its time on redirector {redirector}");
                    late[redirector] += 1;
                } else {
                    assert!([expected(before), expected(after)].contains(&answer), "{code}: {answer:?}");
                }
            }
        }
    }
    println!("{early:?} answers before the time, {late:?} after it");
    assert!(early.into_iter().chain(late).all(|answers| answers > 20), "{early:?} {late:?}");
}

fn expected((status, location): Expected) -> (u16, Option<String>) {
    (status, (!location.is_empty()).then(|| location.to_owned()))
}
