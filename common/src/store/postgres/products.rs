//! Products in PostgreSQL.

use deadpool_postgres::ClientWrapper;

use super::query;
use crate::product::Product;
use crate::store::Result;

pub(super) async fn list(db: &ClientWrapper) -> Result<Vec<Product>> {
    let sql = "SELECT id, name, category, price_hundredths, stock FROM products ORDER BY id";
    let rows = query::rows(db, sql, &[]).await?;
    rows.iter()
        .map(|row| {
            Ok(Product {
                id: row.try_get(0)?,
                name: row.try_get(1)?,
                category: row.try_get(2)?,
                price: row.try_get(3)?,
                stock: row.try_get(4)?,
            })
        })
        .collect()
}
