//! Files of YOURLS.

use tern_import::{Options, Row, Source};

use crate::reading::{at, codes, dropped, error, invalid, links, links_with, open, rows, rows_with};

#[test]
fn file_of_the_plugin_has_codes_between_slashes() {
    let text = "source,target,hits\n/sale/,https://example.com/sale?a=1,4321\n/1/,https://example.com/,12\n\
        /list/,\"https://example.com/list?x=1,2\",\"\"\n";
    let links = links(text, Source::Yourls);
    assert_eq!(codes(&links), ["sale", "1", "list"]);
    assert_eq!(links.iter().map(|link| link.clicks).collect::<Vec<_>>(), [4321, 12, 0]);
    assert_eq!(links[2].target, "https://example.com/list?x=1,2");
}

#[test]
fn file_of_phpmyadmin_has_bare_nulls_and_local_times() {
    let text = "\"keyword\",\"url\",\"title\",\"timestamp\",\"ip\",\"clicks\"\n\
        \"sale\",\"https://example.com/sale\",\"A sale\",\"2021-12-24 23:59:59\",\"192.0.2.1\",\"4321\"\n\
        \"Sale\",\"https://example.com/other\",NULL,\"2022-07-01 00:00:00\",\"192.0.2.7\",\"0\"\n";
    let timezone = Some(jiff::tz::TimeZone::get("Europe/Berlin").unwrap());
    let links = links_with(text, Source::Yourls, &Options { timezone, ..Options::default() });
    assert_eq!(codes(&links), ["sale", "Sale"]);
    assert_eq!((links[0].title.as_deref(), links[0].created_at), (Some("A sale"), at("2021-12-24T22:59:59Z")));
    assert_eq!((links[1].title.as_deref(), links[1].created_at), (None, at("2022-06-30T22:00:00Z")));
    assert_eq!(dropped(&links[0]), ["ip"]);
}

#[test]
fn file_without_a_header_is_recognised_by_its_first_rows() {
    let text = "https://example.com/a,promo,\"Promo, page\"\nHTTPS://example.com/b,,\nhttps://example.com/c\n";
    let links = links(text, Source::Yourls);
    assert_eq!(codes(&links), ["promo", "(new)", "(new)"]);
    assert_eq!(links.iter().map(|link| link.row).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!(links[0].title.as_deref(), Some("Promo, page"));
}

#[test]
fn file_whose_first_rows_have_more_cells_or_no_address_is_not_taken_for_one_without_a_header() {
    for text in ["https://example.com/a,b,c,d\n", "https://example.com/a\nexample.com/b\n"] {
        let error = open(text, None, &Options::default()).unwrap_err().to_string();
        assert!(error.contains("is of no known service"), "{error}");
    }
}

const DUMP: &str = r"-- MySQL dump 10.13
/*!40101 SET NAMES utf8mb4 */;
CREATE TABLE `yourls_log` (`click_id` int(11) NOT NULL AUTO_INCREMENT, `click_time` datetime NOT NULL, `shorturl` varchar(100) NOT NULL,
  `referrer` varchar(200) NOT NULL, `user_agent` varchar(255) NOT NULL, `ip_address` varchar(41) NOT NULL, `country_code` char(2) NOT NULL, PRIMARY KEY (`click_id`));
INSERT INTO `yourls_log` VALUES (1,'2021-12-25 10:00:00','sale','direct','Mozilla/5.0 (X11; Linux)','192.0.2.9','DE'),(2,'2021-12-25 10:00:03','sale','https://news.example.com/?id=1','curl/7','2001:db8::1',''),(3,'soon','sale','','','',''),(4,'2021-12-25 10:00:00','','','','','');
CREATE TABLE `yourls_options` (`option_id` bigint NOT NULL, `option_name` varchar(64), PRIMARY KEY (`option_id`));
INSERT INTO `yourls_options` VALUES (1,'a;b'');(');
CREATE TABLE `yourls_url` (
  `keyword` varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL DEFAULT '',
  `url` text NOT NULL,
  `title` text DEFAULT NULL,
  `timestamp` timestamp NOT NULL DEFAULT current_timestamp(),
  `ip` varchar(41) NOT NULL,
  `clicks` int(10) unsigned NOT NULL,
  PRIMARY KEY (`keyword`)
) DEFAULT CHARSET=utf8mb4;
INSERT INTO `yourls_url` VALUES ('1','https://example.com/','Home','2019-06-01 08:00:00','192.0.2.1',12),('sale','https://example.com/sale?a=1&b=it\'s','It\'s (a) sale; 20% off','2021-12-24 23:59:59','2001:db8::1',4321);
INSERT INTO `yourls_url` (`url`,`keyword`,`clicks`,`title`,`timestamp`,`ip`) VALUES
('https://example.com/p\\q','Sale',0,NULL,'0000-00-00 00:00:00','192.0.2.7'),
('https://example.com/x','docs/x',9);
";

#[test]
fn dump_is_read_with_its_escapes_and_orders_of_columns() {
    let rows = rows(DUMP, Source::Yourls);
    let [Row::Link(home), Row::Link(sale), Row::Link(other), short] = &rows[..] else { panic!("{rows:?}") };
    assert_eq!((home.row, home.short_code.as_deref(), home.clicks), (1, Some("1"), 12));
    assert_eq!(sale.target, "https://example.com/sale?a=1&b=it's");
    assert_eq!((sale.title.as_deref(), sale.clicks), (Some("It's (a) sale; 20% off"), 4321));
    assert_eq!(sale.created_at, at("2021-12-24T23:59:59Z"));
    assert_eq!((other.short_code.as_deref(), other.target.as_str()), (Some("Sale"), r"https://example.com/p\q"));
    assert_eq!((other.title.as_deref(), other.created_at), (None, None));
    assert_eq!(*short, invalid(4, None, "the row has 3 values and not 6"));
}

#[test]
fn clicks_follow_the_links_even_if_the_dump_has_them_before() {
    let timezone = Some(jiff::tz::TimeZone::get("Europe/Berlin").unwrap());
    let options = Options { timezone, with_clicks: true, ..Options::default() };
    let rows = rows_with(DUMP, Source::Yourls, &options);
    assert!(matches!(&rows[1], Row::Link(link) if link.created_at == at("2021-12-24T22:59:59Z")), "{rows:?}");
    let [Row::Click(direct), Row::Click(news), undated, nameless] = &rows[4..] else { panic!("{rows:?}") };
    assert_eq!((direct.row, direct.short_code.as_str()), (1, "sale"));
    assert_eq!((Some(direct.at), direct.referrer.as_deref()), (at("2021-12-25T09:00:00Z"), None));
    assert_eq!(direct.user_agent.as_deref(), Some("Mozilla/5.0 (X11; Linux)"));
    assert_eq!((direct.country.as_deref(), direct.address), (Some("DE"), Some("192.0.2.9".parse().unwrap())));
    assert_eq!((news.referrer.as_deref(), news.country.as_deref()), (Some("https://news.example.com/?id=1"), None));
    assert_eq!(*undated, invalid(3, Some("sale"), "the click cannot be dated: the time \"soon\" cannot be read"));
    assert_eq!(*nameless, invalid(4, None, "the click names no link"));
}

#[test]
fn table_with_another_prefix_is_found_and_one_of_several_is_chosen_by_it() {
    let own = DUMP.replace("yourls_", "my_links_");
    assert_eq!(rows(&own, Source::Yourls).len(), 4);
    let both = format!("{own}{DUMP}");
    assert_eq!(
        error(&both, None, &Options::default()),
        "the file has several tables of links, my_links_url, yourls_url: choose one by its service or by the prefix of its name"
    );
    let options = Options { table_prefix: Some("yourls_".to_owned()), with_clicks: true, ..Options::default() };
    assert_eq!(rows_with(&both, Source::Yourls, &options).len(), 8);
    let options = Options { table_prefix: Some("other_".to_owned()), ..Options::default() };
    assert_eq!(
        error(DUMP, Some(Source::Yourls), &options),
        "the file has no table of links of YOURLS with the prefix other_; its tables are yourls_log, yourls_options, yourls_url"
    );
}

#[test]
fn dump_of_data_alone_is_read_by_the_usual_columns() {
    let text =
        "INSERT INTO `yourls_url` VALUES ('a','https://example.com/',NULL,'2019-06-01 08:00:00','192.0.2.1',12);\n";
    assert_eq!(codes(&links(text, Source::Yourls)), ["a"]);
}

#[test]
fn statement_of_many_megabytes_is_read_row_by_row() {
    let mut text =
        DUMP[..DUMP.find("INSERT INTO `yourls_url`").unwrap()].to_owned() + "INSERT INTO `yourls_url` VALUES ";
    let title = "t".repeat(1000);
    for row in 0..5000 {
        text += &format!("('k{row}','https://example.com/{row}','{title}','2019-06-01 08:00:00','192.0.2.1',{row}),");
    }
    text.pop();
    let links = links(text + ";\n", Source::Yourls);
    assert_eq!((links.len(), links[4999].short_code.as_deref(), links[4999].clicks), (5000, Some("k4999"), 4999));
}

#[test]
fn row_of_a_dump_that_is_not_utf_8_is_invalid_and_a_cut_dump_is_an_error() {
    let bytes = DUMP.as_bytes();
    let at = DUMP.find("Home").unwrap();
    let mut broken = bytes.to_vec();
    broken[at] = 0xff;
    let rows = rows(broken, Source::Yourls);
    assert_eq!(rows[0], invalid(1, None, "the row is not UTF-8: dump the database in utf8mb4"));
    assert!(matches!(&rows[1], Row::Link(_)));
    let cut = error(&bytes[..at], None, &Options::default());
    assert!(cut.contains("never closed: was the file cut?"), "{cut}");
}

#[test]
fn domain_cannot_be_chosen_in_a_dump() {
    let options = Options { domain: Some("go.example.com".to_owned()), ..Options::default() };
    assert!(error(DUMP, None, &options).contains("no column of domains"));
}
