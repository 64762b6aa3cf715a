//! Strided matrix views over slices.

use std::marker::PhantomData;

/// A read-only strided matrix view `[rows, cols]`: element `(i, j)` is `data[i * row_stride + j * col_stride]`.
///
/// Strides count elements and are never negative; a stride of 0 repeats a row or a column (broadcasting).
///
/// ```
/// use wengert_kernels::gemm::Mat;
/// let w = Mat::row_major(&[1.0f32, 2.0, 3.0, 4.0, 5.0, 6.0], 2, 3);
/// assert_eq!((w.rows(), w.cols()), (2, 3));
/// assert_eq!(w.get(1, 0), 4.0);
/// assert_eq!(w.t().get(0, 1), 4.0);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Mat<'a, E> {
    data: &'a [E],
    rows: usize,
    cols: usize,
    row_stride: usize,
    col_stride: usize,
}

impl<'a, E> Mat<'a, E> {
    /// A view with any strides.
    ///
    /// # Panics
    /// If an element of the view lies outside `data`. A view without elements (`rows == 0` or `cols == 0`) always fits.
    #[track_caller]
    pub fn new(data: &'a [E], rows: usize, cols: usize, row_stride: usize, col_stride: usize) -> Self {
        check("Mat", data.len(), rows, cols, row_stride, col_stride);
        Self { data, rows, cols, row_stride, col_stride }
    }

    /// A contiguous row-major view.
    ///
    /// # Panics
    /// If `data` has fewer than `rows * cols` elements.
    #[track_caller]
    pub fn row_major(data: &'a [E], rows: usize, cols: usize) -> Self {
        Self::new(data, rows, cols, cols, 1)
    }

    /// The transposed view `[cols, rows]`; no element moves.
    pub fn t(self) -> Self {
        Self { rows: self.cols, cols: self.rows, row_stride: self.col_stride, col_stride: self.row_stride, ..self }
    }

    /// The rows `start .. start + rows`.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[track_caller]
    pub fn row_range(self, start: usize, rows: usize) -> Self {
        assert!(
            start <= self.rows && rows <= self.rows - start,
            "Mat::row_range: rows {start}..{start}+{rows} of a matrix with {} rows",
            self.rows
        );
        let from = (start * self.row_stride).min(self.data.len());
        Self { data: &self.data[from..], rows, ..self }
    }

    /// The columns `start .. start + cols`.
    ///
    /// # Panics
    /// If the range leaves the matrix.
    #[track_caller]
    pub fn col_range(self, start: usize, cols: usize) -> Self {
        self.t().row_range(start, cols).t()
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements between two rows.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    /// Elements between two columns.
    pub fn col_stride(&self) -> usize {
        self.col_stride
    }

    /// Element `(i, j)`.
    ///
    /// # Panics
    /// If `i` or `j` is out of range.
    #[track_caller]
    pub fn get(&self, i: usize, j: usize) -> E
    where
        E: Copy,
    {
        assert!(i < self.rows && j < self.cols, "Mat::get({i}, {j}) of a [{}, {}] matrix", self.rows, self.cols);
        self.data[i * self.row_stride + j * self.col_stride]
    }

    pub(super) fn as_ptr(&self) -> *const E {
        self.data.as_ptr()
    }
}

/// A writable matrix view `[rows, cols]` with unit column stride: element `(i, j)` is `data[i * row_stride + j]`.
///
/// It splits by rows and by columns into views of disjoint elements, which is how a caller shares one result
/// between threads.
#[derive(Debug)]
pub struct MatMut<'a, E> {
    // A pointer, not a slice: the halves of a column split interleave in memory, so two `&mut [E]` would alias.
    data: *mut E,
    rows: usize,
    cols: usize,
    row_stride: usize,
    borrow: PhantomData<&'a mut [E]>,
}

// SAFETY: a `MatMut` is exclusive access to its elements, like `&mut [E]`, which is `Send` when `E` is.
unsafe impl<E: Send> Send for MatMut<'_, E> {}
// SAFETY: `&MatMut` gives no access to elements.
unsafe impl<E: Sync> Sync for MatMut<'_, E> {}

impl<'a, E> MatMut<'a, E> {
    /// A view whose rows lie `row_stride` elements apart.
    ///
    /// # Panics
    /// If an element of the view lies outside `data`, or rows overlap (`row_stride < cols` with two rows or more).
    #[track_caller]
    pub fn new(data: &'a mut [E], rows: usize, cols: usize, row_stride: usize) -> Self {
        check("MatMut", data.len(), rows, cols, row_stride, 1);
        assert!(
            rows <= 1 || row_stride >= cols,
            "MatMut: rows overlap: row_stride {row_stride} is smaller than the {cols} columns"
        );
        Self { data: data.as_mut_ptr(), rows, cols, row_stride, borrow: PhantomData }
    }

    /// A contiguous row-major view.
    ///
    /// # Panics
    /// If `data` has fewer than `rows * cols` elements.
    #[track_caller]
    pub fn row_major(data: &'a mut [E], rows: usize, cols: usize) -> Self {
        Self::new(data, rows, cols, cols)
    }

    /// The same view for a shorter time, to use it more than once.
    pub fn reborrow(&mut self) -> MatMut<'_, E> {
        MatMut { borrow: PhantomData, ..*self }
    }

    /// The rows before `row` and the rows from `row` on.
    ///
    /// # Panics
    /// If `row` is larger than the number of rows.
    #[track_caller]
    pub fn split_at_row(self, row: usize) -> (Self, Self) {
        assert!(row <= self.rows, "MatMut::split_at_row: row {row} of {}", self.rows);
        let skip = if row < self.rows && self.cols > 0 { row * self.row_stride } else { 0 };
        // SAFETY: row `row` exists and is not empty (else `skip` is 0), so its first element is inside the borrow.
        let data = unsafe { self.data.add(skip) };
        (Self { rows: row, ..self }, Self { data, rows: self.rows - row, ..self })
    }

    /// The columns before `col` and the columns from `col` on.
    ///
    /// # Panics
    /// If `col` is larger than the number of columns.
    #[track_caller]
    pub fn split_at_col(self, col: usize) -> (Self, Self) {
        assert!(col <= self.cols, "MatMut::split_at_col: column {col} of {}", self.cols);
        let skip = if self.rows > 0 { col } else { 0 };
        // SAFETY: `col <= cols` and row 0 exists (else `skip` is 0), so the result is inside the borrow or one past its end.
        let data = unsafe { self.data.add(skip) };
        (Self { cols: col, ..self }, Self { data, cols: self.cols - col, ..self })
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of columns.
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// Elements between two rows.
    pub fn row_stride(&self) -> usize {
        self.row_stride
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut E {
        self.data
    }

    /// Sets every element.
    pub fn fill(&mut self, value: E)
    where
        E: Copy,
    {
        for i in 0..self.rows {
            for j in 0..self.cols {
                // SAFETY: element (i, j) is inside the view, checked by `new`.
                unsafe { *self.data.add(i * self.row_stride + j) = value };
            }
        }
    }
}

#[track_caller]
fn check(what: &str, len: usize, rows: usize, cols: usize, row_stride: usize, col_stride: usize) {
    if rows == 0 || cols == 0 {
        return;
    }
    let last =
        (rows - 1).checked_mul(row_stride).zip((cols - 1).checked_mul(col_stride)).and_then(|(r, c)| r.checked_add(c));
    assert!(
        last.is_some_and(|last| last < len),
        "{what}: a [{rows}, {cols}] view with strides [{row_stride}, {col_stride}] leaves its slice of {len} elements"
    );
}
