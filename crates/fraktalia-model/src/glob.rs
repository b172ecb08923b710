//! File name patterns: `*` and `?` within a name, `**` for any directories.

use std::path::Path;

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

/// Whether every `NAME.yaml` in that directory matches a pattern, both relative to the same. Nothing whose name begins with
/// a dot is looked into.
pub fn covers(pattern: &str, dir: &Path) -> bool {
    let pattern = parts(pattern);
    // Characters that no name has, so that only `*` and `?` match them; and as few and as many as a name can have.
    [1, 64].into_iter().all(|length| {
        let name = "\u{1}".repeat(length) + ".yaml";
        let mut path: Vec<&str> = dir.iter().filter_map(|part| part.to_str()).collect();
        let is_seen = path.len() == dir.iter().count() && path.iter().all(|part| !part.starts_with('.'));
        path.push(&name);
        is_seen && matches_path(&pattern, &path)
    })
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
    fn a_pattern_covers_a_directory_when_it_matches_every_file_of_yaml_in_it() {
        let covers = |pattern, dir: &str| covers(pattern, Path::new(dir));
        for pattern in
            ["a/*.yaml", "./a/*.yaml", "a/**/*.yaml", "*/*.yaml", "**/*.yaml", "a/*", "a/**", "a/?*.y*l"]
        {
            assert!(covers(pattern, "a"), "{pattern}");
        }
        for pattern in ["a/x.yaml", "a/x-*.yaml", "a/?.yaml", "a/*.yml", "*.yaml", "b/*.yaml", "a/b/*.yaml"] {
            assert!(!covers(pattern, "a"), "{pattern}");
        }
        assert!(covers("*.yaml", "") && covers("a/b/*.yaml", "a/b"));
        assert!(!covers("**/*.yaml", "a/.b"), "hidden");
    }

    #[test]
    fn a_star_tries_every_length() {
        assert!(matches_name("*a*b", "xaab"));
        assert!(matches_name("***", ""));
        assert!(!matches_name("*a*b", "xaabc"));
    }
}
