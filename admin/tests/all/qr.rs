//! The QR code of a link over HTTP: images that other libraries draw and read, and refused options.

use std::io::Cursor;

use resvg::tiny_skia::{Color, Pixmap, Transform};
use resvg::usvg::{Options, Tree};
use rqrr::PreparedImage;
use serde_json::json;
use tern_admin::AdminConfig;
use tern_common::OwnAddresses;
use tern_common::config::Setting;

use crate::support::{App, Setup, spawn_app_with};

const TARGET: &str = "https://example.com/";

/// A picture as a reader sees it on white paper: its width, and its grey values row by row.
struct Picture {
    width: usize,
    height: usize,
    grey: Vec<u8>,
}

impl Picture {
    fn of_pixels(width: usize, height: usize, pixels: impl Iterator<Item = [u8; 4]>) -> Picture {
        let over_white =
            |part: u8, alpha: u8| (u32::from(part) * u32::from(alpha) + 255 * (255 - u32::from(alpha))) / 255;
        let grey = pixels.map(|[red, green, blue, alpha]| {
            let [red, green, blue] = [red, green, blue].map(|part| over_white(part, alpha));
            u8::try_from((red * 299 + green * 587 + blue * 114) / 1000).unwrap()
        });
        Picture { width, height, grey: grey.collect() }
    }

    fn of_png(bytes: &[u8]) -> Picture {
        let mut decoder = png::Decoder::new(Cursor::new(bytes));
        decoder.set_transformations(png::Transformations::EXPAND | png::Transformations::ALPHA);
        let mut reader = decoder.read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        assert_eq!(info.color_type, png::ColorType::Rgba);
        let pixels = pixels.chunks_exact(4).map(|pixel| pixel.try_into().unwrap());
        Picture::of_pixels(info.width as usize, info.height as usize, pixels)
    }

    fn of_svg(text: &str) -> Picture {
        let tree = Tree::from_str(text, &Options::default()).unwrap();
        let size = tree.size().to_int_size();
        let mut pixmap = Pixmap::new(size.width(), size.height()).unwrap();
        pixmap.fill(Color::WHITE);
        resvg::render(&tree, Transform::identity(), &mut pixmap.as_mut());
        let pixels = pixmap.pixels().iter().map(|pixel| [pixel.red(), pixel.green(), pixel.blue(), 255]);
        Picture::of_pixels(size.width() as usize, size.height() as usize, pixels)
    }

    /// Reads the code, from pixels that are enlarged as those before a camera are.
    fn read(&self) -> Option<String> {
        let factor = 256 / self.width + 1;
        let grey = |x, y| self.grey[y / factor * self.width + x / factor];
        let mut image = PreparedImage::prepare_from_greyscale(self.width * factor, self.height * factor, grey);
        let grids = image.detect_grids();
        Some(grids.first()?.decode().ok()?.1)
    }
}

impl App {
    async fn picture(&self, query: &str) -> Picture {
        let path = format!("http://{}/urls/1/qr?{query}", self.address);
        let response = reqwest::get(path).await.unwrap();
        let status = response.status();
        let media_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        let bytes = response.bytes().await.unwrap();
        assert_eq!(status, 200, "{query}: {}", String::from_utf8_lossy(&bytes));
        match &*media_type {
            "image/png" => Picture::of_png(&bytes),
            "image/svg+xml" => Picture::of_svg(std::str::from_utf8(&bytes).unwrap()),
            other => panic!("{query}: {other}"),
        }
    }
}

async fn start(code: &str) -> App {
    let own_addresses = OwnAddresses::parse("https://go.example").unwrap();
    let app =
        spawn_app_with(Setup { config: AdminConfig { own_addresses, ..AdminConfig::default() }, ..Setup::default() });
    let app = app.await;
    let user = app.create_user("ann").await;
    let body = json!({ "user_id": user["id"], "original_url": TARGET, "short_code": code });
    assert_eq!(app.post("/urls", body).await.status, 201);
    app
}

#[tokio::test]
async fn qr_code_is_read_by_another_library_in_each_form() {
    let long = "a".repeat(64);
    for code in ["Lh1hFP", &*long] {
        let app = start(code).await;
        let address = format!("https://go.example/{code}");
        for level in ["L", "M", "Q", "H"] {
            // The largest image takes the longest, and differs only in its scale. A long code has 65 modules a side, and
            // readers need some pixels for each.
            let sizes: &[usize] = match (code, level) {
                ("Lh1hFP", "M") => &[128, 333, 2048],
                ("Lh1hFP", _) => &[128, 333],
                _ => &[333, 512],
            };
            for size in sizes.iter().copied() {
                for format in ["svg", "png"] {
                    let query = format!("format={format}&level={level}&size={size}");
                    let picture = app.picture(&query).await;
                    assert_eq!((picture.width, picture.height), (size, size), "{query}");
                    assert_eq!(picture.read().as_deref(), Some(&*address), "{query}");
                }
            }
        }
    }
}

#[tokio::test]
async fn qr_code_is_read_in_each_colour_and_margin() {
    let app = start("Lh1hFP").await;
    for colors in [
        "",
        "color=1a2b3c&background=fff",
        "color=%23c00&background=%23FFFFCC",
        "color=0000ff&background=transparent",
        "background=0f0",
    ] {
        for format in ["svg", "png"] {
            for margin in [1, 4, 16] {
                let query = format!("{colors}&format={format}&margin={margin}");
                assert_eq!(app.picture(&query).await.read().as_deref(), Some("https://go.example/Lh1hFP"), "{query}");
            }
        }
    }
}

#[tokio::test]
async fn smallest_png_is_read_if_it_has_a_pixel_for_each_module() {
    let app = start("Lh1hFP").await;
    let picture = app.picture("format=png&size=64").await;
    assert_eq!((picture.width, picture.height), (64, 64));
    assert_eq!(picture.read().as_deref(), Some("https://go.example/Lh1hFP"));
    app.get("/urls/1/qr?format=png&size=64&margin=16&level=H").await.check_error(400, "size must be at least ");
    assert_eq!(app.get("/urls/1/qr?size=64&margin=16&level=H").await.status, 200, "SVG has no pixels");
}

#[tokio::test]
async fn margin_of_a_png_is_empty_and_at_least_as_wide_as_asked() {
    let app = start("Lh1hFP").await;
    for (margin, size) in [(0, 500), (4, 500), (16, 501)] {
        let picture = app.picture(&format!("format=png&size={size}&margin={margin}")).await;
        let first = picture.grey.iter().position(|grey| *grey == 0).unwrap();
        let (x, y) = (first % size, first / size);
        let scale = size / (25 + 2 * margin);
        assert!(x >= margin * scale && x == y, "{margin}: the code begins at {x}, {y}");
        let last = picture.grey.iter().rposition(|grey| *grey == 0).unwrap();
        assert!((size - 1 - last / size).abs_diff(y) <= 1, "{margin}: the code is not in the middle");
    }
}

#[tokio::test]
async fn qr_code_has_the_mark_of_a_scan_only_if_asked() {
    let app = start("Lh1hFP").await;
    for (query, address) in [
        ("track=1", "https://go.example/Lh1hFP?qr"),
        ("track=true", "https://go.example/Lh1hFP?qr"),
        ("track=0", "https://go.example/Lh1hFP"),
    ] {
        assert_eq!(app.picture(query).await.read().as_deref(), Some(address), "{query}");
    }
    app.get("/urls/2/qr?track=1").await.check_error(404, "2");
    app.get("/urls/1/qr.svg").await.check_error(404, "nothing at this path");
}

#[tokio::test]
async fn wrong_option_is_refused_by_its_name() {
    let app = start("Lh1hFP").await;
    for (query, message) in [
        ("format=gif", "format must be svg or png"),
        ("format=SVG", "format must be svg or png"),
        ("size=63", "size must be an integer from 64 to 2048"),
        ("size=2049", "size must be an integer from 64 to 2048"),
        ("size=99999999999999999999", "size must be an integer from 64 to 2048"),
        ("size=", "size must be"),
        ("size=%2B99", "size must be"),
        ("size=1e2", "size must be"),
        ("margin=-1", "margin must be an integer from 0 to 16"),
        ("margin=17", "margin must be an integer from 0 to 16"),
        ("level=X", "level must be L, M, Q or H"),
        ("level=m", "level must be L, M, Q or H"),
        ("color=red", "color must be three or six hexadecimal digits"),
        ("color=12345", "color must be"),
        ("color=%23%23f00", "color must be"),
        ("color=transparent", "color must be"),
        ("background=none", "background must be three or six hexadecimal digits, such as 1a2b3c, or transparent"),
        ("track=maybe", "track must be"),
        ("download=yes", "download must be"),
        ("force=2", "force must be"),
    ] {
        app.get(&format!("/urls/1/qr?{query}")).await.check_error(400, message);
    }
}

#[tokio::test]
async fn pale_code_is_drawn_only_by_force() {
    let app = start("Lh1hFP").await;
    for query in ["color=ddd", "color=777&background=888", "color=fff", "color=ddd&background=transparent"] {
        for format in ["svg", "png"] {
            let path = format!("/urls/1/qr?{query}&format={format}");
            let refused = app.get(&path).await;
            refused.check_error(400, "color has a contrast of 1.");
            refused.check_error(400, "background");
            refused.check_error(400, "force=1");
            let forced = reqwest::get(format!("http://{}{path}&force=1", app.address)).await.unwrap();
            assert_eq!(forced.status(), 200, "{path}");
        }
    }
    // 3:1 itself is enough.
    assert_eq!(app.get("/urls/1/qr?color=949494").await.status, 200);
    app.get("/urls/1/qr?color=969696").await.check_error(400, "2.9:1");
}

#[tokio::test]
async fn image_has_a_name_and_a_tag() {
    let app = start("Lh1hFP").await;
    let plain = app.get("/urls/1/qr").await;
    assert_eq!(plain.header("content-type"), Some("image/svg+xml"));
    assert_eq!(plain.header("content-disposition"), None);
    assert_eq!(plain.header("cache-control"), Some("private, no-cache"));
    let saved = app.get("/urls/1/qr?download=1").await;
    assert_eq!(saved.header("content-disposition"), Some("attachment; filename=\"Lh1hFP.svg\""));
    assert_eq!(saved.body, plain.body);
    let etag = plain.header("etag").unwrap();
    assert_eq!(saved.header("etag"), Some(etag));

    let client = reqwest::Client::new();
    let ask = async |path: &str, tag: &str| {
        let request = client.get(format!("http://{}{path}", app.address)).header("if-none-match", tag);
        request.send().await.unwrap()
    };
    let known = ask("/urls/1/qr", etag).await;
    assert_eq!(known.status(), 304);
    assert_eq!(known.headers()["etag"], etag);
    assert_eq!(known.bytes().await.unwrap().len(), 0);
    let png = ask("/urls/1/qr?format=png&download=1", etag).await;
    assert_eq!(png.status(), 200);
    assert_eq!(png.headers()["content-disposition"], "attachment; filename=\"Lh1hFP.png\"");
    assert_ne!(png.headers()["etag"], etag);
    assert_eq!(ask("/urls/1/qr?level=H", etag).await.status(), 200);
    assert_eq!(ask("/urls/1/qr?track=1", etag).await.status(), 200);
}
