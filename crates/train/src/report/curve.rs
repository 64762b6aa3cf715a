//! Curves of bounded size, however long the run.

use super::strange::Strange;

/// The greatest number of points of a curve; even.
pub(super) const POINTS: usize = 1000;

/// Values over steps. A point stands for `per` values in a row, twice as many whenever there are too many points.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub name: String,
    pub per: u64,
    pub points: Vec<Point>,
    pub strange: Strange,
}

/// Neighbouring values as one: their mean and extremes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    pub first: u64,
    pub last: u64,
    pub values: u64,
    pub sum: f64,
    pub low: f64,
    pub high: f64,
}

impl Point {
    fn new(step: u64, value: f64) -> Point {
        Point { first: step, last: step, values: 1, sum: value, low: value, high: value }
    }

    fn and(self, next: Point) -> Point {
        Point {
            first: self.first,
            last: next.last,
            values: self.values + next.values,
            sum: self.sum + next.sum,
            low: self.low.min(next.low),
            high: self.high.max(next.high),
        }
    }

    /// The step in the middle, the mean, the least and the greatest value; none, if a value was not finite.
    pub(super) fn drawn(&self) -> (f64, Option<[f64; 3]>) {
        let mean = self.sum / self.values as f64;
        let finite = [mean, self.low, self.high].iter().all(|value| value.is_finite());
        ((self.first as f64 + self.last as f64) / 2.0, finite.then_some([mean, self.low, self.high]))
    }
}

impl Curve {
    pub(super) fn new(name: &str) -> Curve {
        Curve { name: name.into(), per: 1, points: Vec::new(), strange: Strange::default() }
    }

    pub(super) fn push(&mut self, step: u64, value: f64) {
        self.strange.look(step, value);
        let point = Point::new(step, value);
        match self.points.last_mut().filter(|last| last.values < self.per) {
            Some(last) => *last = last.and(point),
            None => {
                if self.points.len() == POINTS {
                    self.points = self.points.chunks(2).map(|pair| pair[0].and(pair[1])).collect();
                    self.per *= 2;
                }
                self.points.push(point);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_means_and_extremes() {
        let mut curve = Curve::new("loss");
        let value = |step: u64| if step == 77_777 { 1e6 } else { (step % 10) as f64 };
        (0..100_000).for_each(|step| curve.push(step, value(step)));
        assert!(curve.points.len() <= POINTS && curve.points.len() > POINTS / 2, "{}", curve.points.len());
        assert_eq!(curve.per, 128);
        let total: f64 = curve.points.iter().map(|point| point.sum).sum();
        assert_eq!(total, (0..100_000).map(value).sum::<f64>());
        assert_eq!(curve.points.iter().map(|point| point.values).sum::<u64>(), 100_000);
        assert!(curve.points.windows(2).all(|pair| pair[0].last + 1 == pair[1].first));
        let spike = curve.points.iter().find(|point| point.first <= 77_777 && 77_777 <= point.last).unwrap();
        assert_eq!((spike.low, spike.high), (0.0, 1e6));
        assert_eq!((curve.points[0].first, curve.points.last().unwrap().last), (0, 99_999));
    }

    #[test]
    fn a_point_with_a_strange_value_is_a_gap() {
        for bad in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut curve = Curve::new("loss");
            (0..3000).for_each(|step| curve.push(step, if step == 1501 { bad } else { 1.0 }));
            let gaps: Vec<f64> =
                curve.points.iter().filter(|p| p.drawn().1.is_none()).map(|point| point.drawn().0).collect();
            assert_eq!(gaps, [1501.5], "{bad}");
            assert_eq!(curve.strange.count, 1);
        }
    }
}
