//! Dumps of Polr.

use tern_import::{Options, Row, Source};

use crate::reading::{at, dropped, invalid, rows, rows_with};

const DUMP: &str = "CREATE TABLE `clicks` (`id` int(10) unsigned NOT NULL AUTO_INCREMENT, `ip` varchar(255) NOT NULL, `country` varchar(255) DEFAULT NULL, `referer` varchar(255) DEFAULT NULL, `referer_host` varchar(255) DEFAULT NULL, `user_agent` text, `link_id` int(10) unsigned NOT NULL, `created_at` timestamp NULL DEFAULT NULL, `updated_at` timestamp NULL DEFAULT NULL, PRIMARY KEY (`id`));\n\
    INSERT INTO `clicks` VALUES (1,'192.0.2.9','FR','https://news.example.com/','news.example.com','Mozilla/5.0',8,'2017-03-11 00:00:00','2017-03-11 00:00:00'),(2,'192.0.2.9',NULL,NULL,NULL,NULL,99,'2017-03-11 00:00:00',NULL);\n\
    CREATE TABLE `links` (`id` int(10) unsigned NOT NULL AUTO_INCREMENT, `short_url` varchar(255) NOT NULL, `long_url` longtext NOT NULL, `ip` varchar(255) NOT NULL, `creator` varchar(255) NOT NULL, `clicks` int(11) NOT NULL, `secret_key` varchar(255) NOT NULL, `is_disabled` tinyint(1) NOT NULL DEFAULT '0', `is_custom` tinyint(1) NOT NULL DEFAULT '0', `is_api` tinyint(1) NOT NULL DEFAULT '0', `created_at` timestamp NULL DEFAULT NULL, `updated_at` timestamp NULL DEFAULT NULL, `long_url_hash` varchar(10) DEFAULT NULL, PRIMARY KEY (`id`));\n\
    INSERT INTO `links` VALUES (8,'0','https://example.com/','192.0.2.1','admin',5,'',0,0,0,'2017-03-10 11:12:13','2017-03-10 11:12:13','1234567890'),(9,'hidden','https://example.com/secret','192.0.2.1','admin',0,'b496',0,1,0,'2018-01-01 00:00:00','2018-01-01 00:00:00',NULL),(10,'gone','https://example.com/gone','192.0.2.2','',9,'',1,1,1,'2019-01-01 00:00:00','2019-01-01 00:00:00','987654321');\n";

#[test]
fn secret_and_disabled_links_arrive_switched_off_with_a_note() {
    let rows = rows(DUMP, Source::Polr);
    let [Row::Link(plain), Row::Link(secret), Row::Link(disabled)] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((plain.short_code.as_deref(), plain.clicks, plain.is_active), (Some("0"), 5, true));
    assert_eq!((plain.created_at, plain.notes.as_deref()), (at("2017-03-10T11:12:13Z"), None));
    assert_eq!(dropped(plain), ["ip", "creator"]);
    assert_eq!((secret.is_active, dropped(secret)), (false, vec!["ip", "creator", "secret_key"]));
    assert_eq!(secret.notes.as_deref(), Some("Import: switched off, because Polr asked for a secret"));
    assert_eq!(disabled.notes.as_deref(), Some("Import: switched off, because Polr had disabled it"));
}

#[test]
fn clicks_are_read_with_the_codes_of_their_links() {
    let rows = rows_with(DUMP, Source::Polr, &Options { with_clicks: true, ..Options::default() });
    let [Row::Click(click), lost] = &rows[3..] else { panic!("{rows:?}") };
    assert_eq!((click.short_code.as_str(), Some(click.at)), ("0", at("2017-03-11T00:00:00Z")));
    assert_eq!((click.referrer.as_deref(), click.country.as_deref()), (Some("https://news.example.com/"), Some("FR")));
    assert_eq!(*lost, invalid(2, None, "the click is of the link 99, which the file does not have"));
}
