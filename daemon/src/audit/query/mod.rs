//! Questions to the trail, answered from its index.

mod filter;
mod group;
mod record;
mod select;

pub use filter::{Filter, Moment, Order, State};
pub use group::{Dimension, Group};
pub use record::Record;

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::index::{Index, IndexError};
use record::Places;
pub(crate) use select::Selection;

impl Index {
    /// Gives what `filter` selects to `each`, in this order and at most `limit`, until `each` breaks off.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn records(
        &self,
        filter: &Filter,
        order: Order,
        limit: Option<u64>,
        each: &mut dyn FnMut(Record) -> ControlFlow<()>,
    ) -> Result<(), IndexError> {
        self.reading(|connection| {
            let selection = Selection::prepare(connection, filter, limit)?;
            let mut ids = connection.prepare(&selection.ids(order, limit))?;
            let mut one = connection.prepare(record::ONE)?;
            let places = Places::of(&one);
            let mut rows = ids.query([])?;
            while let Some(row) = rows.next()? {
                let id: i64 = row.get(0)?;
                if each(one.query_row([id], |row| Record::read(row, &places))?).is_break() {
                    break;
                }
            }
            Ok(())
        })
    }

    /// How many records `filter` selects.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn count(&self, filter: &Filter) -> Result<u64, IndexError> {
        self.reading(|connection| {
            let selection = Selection::prepare(connection, filter, None)?;
            let count: i64 = connection.query_row(&group::count(&selection), [], |row| row.get(0))?;
            Ok(u64::try_from(count).unwrap_or_default())
        })
    }

    /// What `filter` selects, in groups, the largest first by this order.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn groups(&self, filter: &Filter, by: Dimension, order: Order) -> Result<Vec<Group>, IndexError> {
        self.reading(|connection| {
            let selection = Selection::prepare(connection, filter, None)?;
            if let Some(mut groups) = group::fold(connection, &selection, by)? {
                group::sort(&mut groups, order);
                return Ok(groups);
            }
            let mut statement = connection.prepare(&group::statement(&selection, by, order))?;
            let rows = statement.query_map([], |row| group::read(row, by))?;
            rows.collect()
        })
    }

    /// Runs all of a question on one state of the index, whatever is added meanwhile.
    pub(crate) fn reading<T>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T>,
    ) -> Result<T, IndexError> {
        let answer = (|| {
            // It is ended by its drop; nothing is to be kept.
            let _transaction = self.connection().unchecked_transaction()?;
            ask(self.connection())
        })();
        answer.map_err(|source| self.error(source))
    }
}
