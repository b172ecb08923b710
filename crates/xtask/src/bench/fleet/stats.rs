//! The middle of several rounds.

/// The middle one, or the mean of the two in the middle; `None` of nothing.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        odd if odd % 2 == 1 => Some(values[middle]),
        _ => Some(f64::midpoint(values[middle - 1], values[middle])),
    }
}

/// The middle one of the ratios of two things that were measured in the same rounds.
pub fn ratio(pairs: impl IntoIterator<Item = (f64, f64)>) -> Option<f64> {
    median(pairs.into_iter().map(|(ours, theirs)| ours / theirs))
}

/// The smallest and the largest.
pub fn range(values: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    values.into_iter().fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((least, most)) => Some((least.min(value), most.max(value))),
    })
}

/// A count as a number to divide by.
#[expect(clippy::cast_precision_loss, reason = "nothing here is counted up to 2^52")]
pub fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_one_whatever_the_order() {
        assert_eq!(median([3.0, 1.0, 100.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn a_ratio_is_taken_within_each_round() {
        // The second round was slow for both: it changes the times and not the ratio.
        assert_eq!(ratio([(2.0, 1.0), (20.0, 10.0), (3.0, 1.0)]), Some(2.0));
        assert_eq!(range([2.0, 1.0, 3.0]), Some((1.0, 3.0)));
    }
}
