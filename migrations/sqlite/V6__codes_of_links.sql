-- Clicks are matched to their link by id and code. A database that was restored from a backup gives ids again.

-- Codes that a url had before it was renamed with the sqlite3 shell. A click that was answered under such a code is
-- still the url's.
CREATE TABLE former_codes (
    url_id INTEGER NOT NULL,
    short_code TEXT NOT NULL,
    PRIMARY KEY (url_id, short_code)
) STRICT, WITHOUT ROWID;

CREATE TRIGGER urls_renamed AFTER UPDATE OF short_code ON urls WHEN OLD.short_code <> NEW.short_code BEGIN
    INSERT OR IGNORE INTO former_codes VALUES (OLD.id, OLD.short_code);
END;

-- A later url may be loaded under the same id.
CREATE TRIGGER urls_former_codes_go AFTER DELETE ON urls BEGIN
    DELETE FROM former_codes WHERE url_id = OLD.id;
END;
