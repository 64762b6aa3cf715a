//! Columns of values over a run, bounded in number.

use super::strange::Strange;

/// The greatest number of columns; even.
pub(super) const COLUMNS: usize = 120;
/// The greatest number of rows that are drawn.
pub(super) const ROWS: usize = 120;

/// A column of values for some steps of a run: every `every`-th that was given, from the first on.
#[derive(Clone, Debug)]
pub(super) struct Map {
    pub name: String,
    pub every: u64,
    pub seen: u64,
    pub columns: Vec<(u64, Vec<f64>)>,
    pub strange: Strange,
}

impl Map {
    pub(super) fn new(name: &str) -> Map {
        Map { name: name.into(), every: 1, seen: 0, columns: Vec::new(), strange: Strange::default() }
    }

    pub(super) fn push(&mut self, step: u64, values: Vec<f64>) {
        values.iter().for_each(|value| self.strange.look(step, *value));
        if self.seen.is_multiple_of(self.every) {
            if self.columns.len() == COLUMNS {
                let mut number = 0;
                self.columns.retain(|_| {
                    number += 1;
                    number % 2 == 1
                });
                self.every *= 2;
            }
            // The number of columns is even, so that this one is among those that stay.
            self.columns.push((step, values));
        }
        self.seen += 1;
    }

    /// How many values in a row one drawn row stands for: the greatest of them, or a value that is not finite if there is one.
    pub(super) fn per_row(&self) -> usize {
        self.columns.iter().map(|(_, values)| values.len()).max().unwrap_or(0).div_ceil(ROWS).max(1)
    }

    pub(super) fn rows(values: &[f64], per: usize) -> impl Iterator<Item = f64> {
        values.chunks(per).map(|group| match group.iter().find(|value| !value.is_finite()) {
            Some(strange) => *strange,
            None => group.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_so_many_columns_stay() {
        for given in [1, 119, 120, 121, 240, 241, 1000, 12_345] {
            let mut map = Map::new("h");
            (0..given).for_each(|number| map.push(number * 10, vec![number as f64]));
            assert!(map.columns.len() <= COLUMNS && map.columns.len() as u64 > (given / 4).min(COLUMNS as u64 / 2));
            for (number, (step, values)) in map.columns.iter().enumerate() {
                let wanted = number as u64 * map.every;
                assert_eq!((*step, values[0]), (wanted * 10, wanted as f64), "of {given}");
            }
            assert!(map.columns.len() as u64 * map.every >= given, "the last of {given} is missing");
        }
    }

    #[test]
    fn rows_are_the_greatest_of_their_values() {
        let mut map = Map::new("h");
        map.push(0, (0..300).map(|t| t as f64).collect());
        map.push(1, vec![1.0; 5]);
        assert_eq!(map.per_row(), 3);
        let rows: Vec<f64> = Map::rows(&map.columns[0].1, 3).collect();
        assert_eq!((rows.len(), rows[0], rows[99]), (100, 2.0, 299.0));
        assert!(Map::rows(&[1.0, f64::NAN, 7.0], 3).all(|row| row.is_nan()));
        assert_eq!(Map::new("none").per_row(), 1);
    }
}
