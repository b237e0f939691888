//! The statements of a dump that create tables and insert rows. Other statements are skipped.

use std::io::Read;

use super::tokens::{Dialect, Token, Tokens};
use crate::error::FileError;
use crate::shapes::shorten;

/// The most columns of a table.
const MAX_COLUMNS: usize = 4096;

/// The longest row in bytes.
const MAX_ROW_LEN: usize = 2 * 1024 * 1024;

/// The deepest nesting of functions around a value.
const MAX_DEPTH: usize = 32;

/// Words at the start of a part of `CREATE TABLE` that is no column.
const NO_COLUMNS: [&str; 10] =
    ["PRIMARY", "UNIQUE", "KEY", "INDEX", "CONSTRAINT", "FOREIGN", "FULLTEXT", "SPATIAL", "CHECK", "PERIOD"];

type Result<T> = std::result::Result<T, FileError>;

/// A statement that names the columns of a table, or begins to insert rows into it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Create {
        table: String,
        columns: Vec<String>,
    },
    /// The rows follow. The columns are empty if the statement names none.
    Insert {
        table: String,
        columns: Vec<String>,
    },
}

/// The reader of statements.
#[derive(Debug)]
pub(super) struct Statements<R> {
    tokens: Tokens<R>,
    is_in_insert: bool,
    values: Vec<Option<String>>,
    /// Whether a value of the row is not UTF-8.
    is_bad: bool,
}

impl<R: Read> Statements<R> {
    pub(super) fn new(input: R, dialect: Dialect) -> Result<Statements<R>> {
        Ok(Statements { tokens: Tokens::new(input, dialect)?, is_in_insert: false, values: Vec::new(), is_bad: false })
    }

    pub(super) fn into_input(self) -> R {
        self.tokens.into_input()
    }

    /// Reads up to the next statement about a table. The remaining rows of the statement before are skipped.
    pub(super) fn next_statement(&mut self) -> Result<Option<Statement>> {
        if std::mem::take(&mut self.is_in_insert) {
            self.tokens.skip_statement()?;
        }
        loop {
            let statement = match self.tokens.next()? {
                Token::End => return Ok(None),
                Token::Symbol(b';') => continue,
                Token::Word if self.tokens.is("CREATE") => self.create()?,
                Token::Word if self.tokens.is("INSERT") || self.tokens.is("REPLACE") => self.insert()?,
                _ => None,
            };
            match statement {
                Some(Statement::Insert { .. }) => {
                    self.is_in_insert = true;
                    return Ok(statement);
                }
                Some(_) => {
                    self.tokens.skip_statement()?;
                    return Ok(statement);
                }
                None => self.tokens.skip_statement()?,
            }
        }
    }

    /// Reads the next row of the present `INSERT`. Returns whether there is one.
    pub(super) fn next_row(&mut self) -> Result<bool> {
        if !self.is_in_insert {
            return Ok(false);
        }
        let mut token = self.tokens.next()?;
        if token == Token::Symbol(b',') {
            token = self.tokens.next()?;
        }
        match token {
            Token::Symbol(b'(') => {}
            Token::Symbol(b';') | Token::End => {
                self.is_in_insert = false;
                return Ok(false);
            }
            // What follows the rows, such as `ON DUPLICATE KEY UPDATE`.
            Token::Word => {
                self.is_in_insert = false;
                self.tokens.skip_statement()?;
                return Ok(false);
            }
            _ => return Err(self.tokens.wrong("expected a row in parentheses")),
        }
        self.values.clear();
        self.is_bad = false;
        let mut len = 0;
        loop {
            let value = self.value(0)?;
            len += value.as_ref().map_or(0, String::len);
            self.values.push(value);
            if self.values.len() > MAX_COLUMNS || len > MAX_ROW_LEN {
                return Err(self.tokens.wrong("the row is too long"));
            }
            match self.tokens.next()? {
                Token::Symbol(b',') => {}
                Token::Symbol(b')') => return Ok(true),
                Token::End => return Err(self.tokens.wrong("the file ends within a row: was it cut?")),
                _ => return Err(self.tokens.wrong("expected a comma or a parenthesis behind a value")),
            }
        }
    }

    /// Returns the values of the row that was read last; `None` if one is not UTF-8.
    pub(super) fn values(&self) -> Option<&[Option<String>]> {
        (!self.is_bad).then_some(&self.values)
    }

    /// Reads one value. Dumps of SQLite have functions around texts with line ends.
    fn value(&mut self, depth: usize) -> Result<Option<String>> {
        match self.tokens.next()? {
            Token::Text | Token::Quoted | Token::Number => Ok(self.text()),
            Token::Word if self.tokens.is("NULL") || self.tokens.is("DEFAULT") => Ok(None),
            Token::Word if self.tokens.is("TRUE") => Ok(Some("1".to_owned())),
            Token::Word if self.tokens.is("FALSE") => Ok(Some("0".to_owned())),
            // The character set of the text that follows, such as `_utf8mb4`.
            Token::Word if self.tokens.text().starts_with(b"_") || self.tokens.is("N") => match self.tokens.next()? {
                Token::Text => Ok(self.text()),
                _ => Err(self.tokens.wrong("expected a text behind its character set")),
            },
            Token::Word if depth < MAX_DEPTH => self.function(depth),
            Token::End => Err(self.tokens.wrong("the file ends within a row: was it cut?")),
            _ => Err(self.tokens.wrong("expected a value")),
        }
    }

    fn function(&mut self, depth: usize) -> Result<Option<String>> {
        let name = String::from_utf8_lossy(self.tokens.text()).to_lowercase();
        if !matches!(name.as_str(), "replace" | "char" | "unistr") {
            return Err(self.tokens.wrong(format!("the value {} cannot be read", shorten(&name))));
        }
        if self.tokens.next()? != Token::Symbol(b'(') {
            return Err(self.tokens.wrong("expected a parenthesis behind a function"));
        }
        let mut arguments = Vec::new();
        loop {
            arguments.push(self.value(depth + 1)?.unwrap_or_default());
            match self.tokens.next()? {
                Token::Symbol(b',') if arguments.len() < 3 => {}
                Token::Symbol(b')') => break,
                _ => return Err(self.tokens.wrong("expected the end of a function")),
            }
        }
        let value = match (name.as_str(), arguments.as_slice()) {
            // Each replacement is of one character, so that a text does not grow.
            ("replace", [text, from, to]) if !from.is_empty() && to.len() <= from.len() => {
                Some(text.replace(from.as_str(), to))
            }
            ("char", [code]) => code.parse().ok().and_then(char::from_u32).map(String::from),
            ("unistr", [text]) => unescape(text),
            _ => None,
        };
        value.map(Some).ok_or_else(|| self.tokens.wrong(format!("the function {name} cannot be read")))
    }

    fn text(&mut self) -> Option<String> {
        let text = String::from_utf8(self.tokens.text().to_vec()).ok();
        self.is_bad |= text.is_none();
        text
    }

    /// Reads `CREATE TABLE name (column type, ...`; `None` for another statement.
    fn create(&mut self) -> Result<Option<Statement>> {
        loop {
            match self.tokens.next()? {
                Token::Word if self.tokens.is("TABLE") => break,
                Token::Word if self.tokens.is("TEMPORARY") || self.tokens.is("TEMP") => {}
                _ => return Ok(None),
            }
        }
        let mut token = self.tokens.next()?;
        while token == Token::Word && ["IF", "NOT", "EXISTS"].iter().any(|word| self.tokens.is(word)) {
            token = self.tokens.next()?;
        }
        let Some((table, token)) = self.name(token)? else { return Ok(None) };
        if token != Token::Symbol(b'(') {
            return Ok(None);
        }
        let (mut columns, mut depth, mut begins) = (Vec::new(), 1, true);
        loop {
            let token = self.tokens.next()?;
            if begins && columns.len() < MAX_COLUMNS {
                let is_column = match token {
                    Token::Quoted => true,
                    Token::Word => !NO_COLUMNS.iter().any(|word| self.tokens.is(word)),
                    _ => false,
                };
                if is_column {
                    columns.push(self.lossy());
                }
            }
            begins = false;
            match token {
                Token::Symbol(b'(') => depth += 1,
                Token::Symbol(b')') if depth == 1 => return Ok(Some(Statement::Create { table, columns })),
                Token::Symbol(b')') => depth -= 1,
                Token::Symbol(b',') => begins = depth == 1,
                Token::End => return Err(self.tokens.wrong("the file ends within a table: was it cut?")),
                _ => {}
            }
        }
    }

    /// Reads `INSERT INTO name [(column, ...)] VALUES`; `None` for another form.
    fn insert(&mut self) -> Result<Option<Statement>> {
        let mut words = 0;
        while self.tokens.next()? == Token::Word && !self.tokens.is("INTO") {
            words += 1;
            if words > 4 {
                return Ok(None);
            }
        }
        let token = self.tokens.next()?;
        let Some((table, mut token)) = self.name(token)? else { return Ok(None) };
        let mut columns = Vec::new();
        if token == Token::Symbol(b'(') {
            loop {
                match self.tokens.next()? {
                    Token::Word | Token::Quoted if columns.len() < MAX_COLUMNS => columns.push(self.lossy()),
                    Token::Symbol(b',') => {}
                    Token::Symbol(b')') => break,
                    _ => return Ok(None),
                }
            }
            token = self.tokens.next()?;
        }
        if token == Token::Word && (self.tokens.is("VALUES") || self.tokens.is("VALUE")) {
            return Ok(Some(Statement::Insert { table, columns }));
        }
        Ok(None)
    }

    /// Reads the rest of a name that may have its database before it. Returns it with the token behind it.
    fn name(&mut self, token: Token) -> Result<Option<(String, Token)>> {
        if !matches!(token, Token::Word | Token::Quoted) {
            return Ok(None);
        }
        let mut name = self.lossy();
        let mut token = self.tokens.next()?;
        while token == Token::Symbol(b'.') {
            token = self.tokens.next()?;
            name = self.lossy();
            token = if token == Token::End { token } else { self.tokens.next()? };
        }
        Ok(Some((name, token)))
    }

    fn lossy(&self) -> String {
        String::from_utf8_lossy(self.tokens.text()).into_owned()
    }
}

/// Resolves `\u000a`, `\+00000a`, `\U0000000a`, `\000a` and `\\`.
fn unescape(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(behind) = rest.strip_prefix('\\') {
            out.push('\\');
            rest = behind;
            continue;
        }
        let (skip, len) = match rest.bytes().next()? {
            b'u' => (1, 4),
            b'U' => (1, 8),
            b'+' => (1, 6),
            _ => (0, 4),
        };
        let digits = rest.get(skip..skip + len)?;
        out.push(u32::from_str_radix(digits, 16).ok().and_then(char::from_u32)?);
        rest = &rest[skip + len..];
    }
    out.push_str(rest);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the statements of a dump, and the rows below each `INSERT`.
    fn read(text: &str, dialect: Dialect) -> Vec<String> {
        let mut statements = Statements::new(text.as_bytes(), dialect).unwrap();
        let mut found = Vec::new();
        while let Some(statement) = statements.next_statement().unwrap() {
            match statement {
                Statement::Create { table, columns } => found.push(format!("create {table} {}", columns.join(","))),
                Statement::Insert { table, columns } => {
                    found.push(format!("insert {table} {}", columns.join(",")));
                    while statements.next_row().unwrap() {
                        let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".to_owned());
                        found.push(statements.values().unwrap().iter().map(shown).collect::<Vec<_>>().join("|"));
                    }
                }
            }
        }
        found
    }

    #[test]
    fn tables_and_rows_are_read_in_the_form_of_mysql() {
        let text = "SET NAMES utf8; DROP TABLE IF EXISTS `a`;\n\
            CREATE TABLE IF NOT EXISTS db.`a` (`id` int(10) DEFAULT '1,2', b enum('x','y'), PRIMARY KEY (`id`,b), KEY k (b)) ENGINE=x;\n\
            INSERT IGNORE INTO `a` VALUES (1,'x'),\n(2,NULL), (-3 , _binary 'z\\'');\n\
            REPLACE INTO a (`b`, id) VALUES (TRUE,4) ON DUPLICATE KEY UPDATE b=VALUES(b);\n\
            INSERT INTO a SELECT 1; INSERT INTO a SET b = 1; CREATE VIEW v AS SELECT 1; INSERT a VALUES (5,6)";
        let expected = ["create a id,b", "insert a ", "1|x", "2|-", "-3|z'", "insert a b,id", "1|4"];
        assert_eq!(read(text, Dialect::MySql), expected);
    }

    #[test]
    fn functions_of_sqlite_are_resolved() {
        let text = r#"BEGIN TRANSACTION; CREATE TABLE "a"(b TEXT, "c d" TEXT);
            INSERT INTO a VALUES(replace('one\ntwo','\n',char(10)),unistr('x\u000ay\\'));INSERT INTO a VALUES('C:\','it''s');COMMIT;"#;
        let expected = ["create a b,c d", "insert a ", "one\ntwo|x\ny\\", "insert a ", "C:\\|it's"];
        assert_eq!(read(text, Dialect::Sqlite), expected);
    }

    #[test]
    fn broken_rows_are_refused_with_their_place() {
        let check = |text: &str, expected: &str| {
            let mut statements = Statements::new(text.as_bytes(), Dialect::MySql).unwrap();
            statements.next_statement().unwrap();
            let error = loop {
                match statements.next_row() {
                    Ok(true) => {}
                    Ok(false) => panic!("{text:?} is read"),
                    Err(error) => break error.to_string(),
                }
            };
            assert!(error.contains(expected) && error.starts_with("line 1, byte "), "{text:?}: {error}");
        };
        check("INSERT INTO a VALUES (1", "the file ends within a row");
        check("INSERT INTO a VALUES (1 2)", "expected a comma");
        check("INSERT INTO a VALUES (,)", "expected a value");
        check("INSERT INTO a VALUES (now())", "the value now cannot be read");
        check("INSERT INTO a VALUES 1", "expected a row in parentheses");
        check("INSERT INTO a VALUES (x'4')", "hexadecimal");
        check(&format!("INSERT INTO a VALUES ({}", "char(".repeat(100)), "expected a value");
        check(&format!("INSERT INTO a VALUES ('{}')", "x".repeat(2 * 1024 * 1024)), "1 MiB");
    }
}
