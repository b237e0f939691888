//! Products in SQLite.

use rusqlite::Connection;

use crate::product::Product;
use crate::store::Result;

pub(super) fn list(db: &Connection) -> Result<Vec<Product>> {
    let sql = "SELECT id, name, category, price_hundredths, stock FROM products ORDER BY id";
    let mut statement = db.prepare_cached(sql)?;
    let products = statement.query_map([], |row| {
        Ok(Product {
            id: row.get(0)?,
            name: row.get(1)?,
            category: row.get(2)?,
            price: row.get(3)?,
            stock: row.get(4)?,
        })
    })?;
    Ok(products.collect::<Result<_, _>>()?)
}
