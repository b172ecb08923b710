//! File name patterns: `*` and `?` within a name, `**` for any directories.

/// Whether a name matches a pattern without `/`.
pub fn matches_name(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // Where to go on when the characters after the last `*` do not fit: linear memory, no recursion.
    let mut retry: Option<(usize, usize)> = None;
    while n < name.len() {
        match pattern.get(p) {
            Some('*') => {
                retry = Some((p, n));
                p += 1;
            }
            Some(c) if *c == '?' || *c == name[n] => {
                p += 1;
                n += 1;
            }
            _ => match &mut retry {
                Some((star, tried)) => {
                    *tried += 1;
                    p = *star + 1;
                    n = *tried;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether a relative path matches a pattern, both given by their components.
pub fn matches_path(pattern: &[&str], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (Some((&"**", rest)), _) => {
            matches_path(rest, path)
                || path.split_first().is_some_and(|(_, below)| matches_path(pattern, below))
        }
        (Some((name, rest)), Some((first, below))) => matches_name(name, first) && matches_path(rest, below),
        _ => false,
    }
}

/// The components of a pattern or path, without empty ones and `.`. Several `**` in a row say no more than one.
pub fn parts(text: &str) -> Vec<&str> {
    let mut parts: Vec<&str> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    parts.dedup_by(|next, part| *next == "**" && *part == "**");
    parts
}

/// Whether a text has anything special in it.
pub fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?'])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(pattern: &str, path: &str) -> bool {
        matches_path(&parts(pattern), &parts(path))
    }

    #[test]
    fn a_star_stays_within_a_name_and_two_stars_do_not() {
        assert!(path("fractals/*.yaml", "fractals/a.yaml"));
        assert!(!path("fractals/*.yaml", "fractals/old/a.yaml"));
        assert!(path("fractals/**/*.yaml", "fractals/old/x/a.yaml"));
        assert!(path("fractals/**/*.yaml", "fractals/a.yaml"));
        assert!(path("**/**", "a/b"));
        assert!(!path("a/?.md", "a/bc.md"));
    }

    #[test]
    fn a_star_tries_every_length() {
        assert!(matches_name("*a*b", "xaab"));
        assert!(matches_name("***", ""));
        assert!(!matches_name("*a*b", "xaabc"));
    }
}
