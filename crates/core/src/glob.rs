//! Globs that are matched in a predictable time.
//!
//! A member may ask for any pattern, and it is compared with every known name. So a glob is a
//! nondeterministic automaton with one bit for each state, and each character advances all states
//! at once. The number of steps is known for any pattern and name: the number of 64-bit words that
//! hold the states, times the number of characters in the name.
//!
//! `*`, `?` and `[...]` do not match `/`; `**` as a whole component of the path matches any number
//! of components; `{a,b}` matches either alternative; `\` takes the next character literally.

use std::ops::Range;

/// The most patterns without braces that one pattern may expand to.
pub const MAX_ALTERNATIVES: usize = 256;

/// How many characters have a table of their own.
const ASCII: usize = 128;

/// Of so many alternatives it is found out first whether a text may match: both ends of most texts
/// tell that it does not. With more it could cost more than matching does.
const FEW: usize = 4;

/// The cost of compiling, in steps: for each character of a text that is searched for braces, and
/// for each state.
const CHARACTER: u64 = 4;
const STATE: u64 = 24;

/// Why a text is not a glob.
#[derive(Debug)]
pub struct NotAGlob(pub &'static str);

/// A compiled glob.
#[derive(Clone)]
pub struct Glob {
    pub states: Vec<State>,
    /// For each ASCII character, the states that it advances.
    ascii: Vec<Vec<u64>>,
    starts: Vec<u64>,
    ends: Vec<u64>,
    /// The states that any character may stay in.
    stays: Vec<u64>,
    /// The states that any character but `/` may stay in, including those of `stays`.
    stays_within: Vec<u64>,
    skips: Vec<u64>,
    /// Of each alternative, if they are few.
    fixed: Vec<Fixed>,
}

/// How the texts begin and end that an alternative matches: the states, one for each character.
#[derive(Clone)]
struct Fixed {
    beginning: Range<usize>,
    end: Range<usize>,
}

/// A position between two characters of the pattern.
#[derive(Clone, Default)]
pub struct State {
    /// What advances to the next state; `None` at the end.
    next: Option<One>,
    stays: Stays,
    /// Whether a match that enters this state is also in the next one. No two such states are
    /// adjacent.
    skips: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stays {
    #[default]
    Never,
    WithinAPart,
    Always,
}

/// What a single character may be.
#[derive(Clone)]
enum One {
    Just(char),
    Any,
    Of {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

impl Glob {
    /// Compiles a glob. Adds the cost to `steps`, also on failure.
    pub fn new(text: &str, steps: &mut u64) -> Result<Self, NotAGlob> {
        let mut plain = Vec::new();
        expand(text, &mut plain, steps)?;
        let mut states = Vec::new();
        let mut first = Vec::new();
        for alternative in plain {
            first.push(states.len());
            states.extend(parse(&alternative)?);
        }
        *steps += STATE * states.len() as u64;
        let words = states.len().div_ceil(64);
        let mask = |is_in: &dyn Fn(&State) -> bool| {
            let mut mask = vec![0; words];
            for (at, _) in states.iter().enumerate().filter(|(_, state)| is_in(state)) {
                set(&mut mask, at);
            }
            mask
        };
        let skips = mask(&|state| state.skips);
        let mut fixed = Vec::new();
        if first.len() <= FEW {
            let behind = first.iter().skip(1).copied().chain([states.len()]);
            let each = first.iter().zip(behind);
            fixed.extend(each.map(|(first, behind)| fixed_of(&states, *first..behind)));
        }
        let mut starts = vec![0; words];
        for at in first {
            set(&mut starts, at);
            if states[at].skips {
                set(&mut starts, at + 1);
            }
        }
        Ok(Self {
            ascii: by_character(&states, steps),
            starts,
            ends: mask(&|state| state.next.is_none()),
            stays: mask(&|state| state.stays == Stays::Always),
            stays_within: mask(&|state| state.stays != Stays::Never),
            skips,
            fixed,
            states,
        })
    }

    pub fn matches(&self, text: &str) -> bool {
        if !self.may_match(text) {
            return false;
        }
        match self.starts[..] {
            [start] => self.matches_in_a_word(text, start),
            _ => self.matches_in_words(text),
        }
    }

    /// Whether the ends of the text are such as one of the alternatives wants.
    fn may_match(&self, text: &str) -> bool {
        let takes = |(state, c): (usize, char)| {
            let taken = self.ascii.get(c as usize);
            taken.is_none_or(|taken| taken[state / 64] >> (state % 64) & 1 == 1)
        };
        let mut fixed = self.fixed.iter();
        self.fixed.is_empty()
            || fixed.any(|Fixed { beginning, end }| {
                end.clone().rev().zip(text.chars().rev()).all(takes)
                    && beginning.clone().zip(text.chars()).all(takes)
            })
    }

    /// As nearly all patterns are matched: their states fit into one word.
    fn matches_in_a_word(&self, text: &str, start: u64) -> bool {
        let mut active = start;
        for c in text.chars() {
            let taken = match self.ascii.get(c as usize) {
                Some(taken) => taken[0],
                None => self.taking(c)[0],
            };
            let stays = if c == '/' {
                self.stays[0]
            } else {
                self.stays_within[0]
            };
            let entered = (active & taken) << 1;
            // A match skips a state only when it enters it, not while it stays there.
            let skipped = (entered & self.skips[0]) << 1;
            active = active & stays | entered | skipped;
            if active == 0 {
                return false;
            }
        }
        active & self.ends[0] != 0
    }

    fn matches_in_words(&self, text: &str) -> bool {
        let mut active = self.starts.clone();
        let mut other;
        for c in text.chars() {
            let taken = if let Some(taken) = self.ascii.get(c as usize) {
                taken
            } else {
                other = self.taking(c);
                &other
            };
            let stays = if c == '/' {
                &self.stays
            } else {
                &self.stays_within
            };
            let (mut moved_on, mut skipped_on, mut any) = (0, 0, 0);
            for (word, active) in active.iter_mut().enumerate() {
                let moved = *active & taken[word];
                let entered = moved << 1 | moved_on;
                let skipped = entered & self.skips[word];
                *active = *active & stays[word] | entered | skipped << 1 | skipped_on;
                moved_on = moved >> 63;
                skipped_on = skipped >> 63;
                any |= *active;
            }
            if any == 0 {
                return false;
            }
        }
        active
            .iter()
            .zip(&self.ends)
            .any(|(active, ends)| active & ends != 0)
    }

    /// Returns how many steps matching this text takes at most.
    pub fn steps(&self, text: &str) -> u64 {
        let others = text.bytes().filter(|byte| !byte.is_ascii()).count();
        (text.len() * self.starts.len() + others * self.states.len()) as u64
    }

    fn taking(&self, c: char) -> Vec<u64> {
        let mut taking = vec![0; self.starts.len()];
        for (at, _) in self
            .states
            .iter()
            .enumerate()
            .filter(|(_, state)| state.takes(c))
        {
            set(&mut taking, at);
        }
        taking
    }
}

impl State {
    fn takes_all_but_few(&self) -> bool {
        matches!(&self.next, Some(One::Any | One::Of { negated: true, .. }))
    }

    fn takes(&self, c: char) -> bool {
        match &self.next {
            None => false,
            Some(One::Just(this)) => *this == c,
            Some(One::Any) => c != '/',
            Some(One::Of { ranges, negated }) => {
                let is_in = ranges
                    .iter()
                    .any(|(first, last)| (*first..=*last).contains(&c));
                c != '/' && is_in != *negated
            }
        }
    }
}

/// Returns the ends of an alternative that has these states, up to the first and from the last
/// state that may take more or fewer characters than one.
fn fixed_of(states: &[State], of: Range<usize>) -> Fixed {
    let is_loose = |at: &usize| states[*at].stays != Stays::Never || states[*at].skips;
    let (end, last) = (of.end - 1, of.clone().rev().find(is_loose));
    // The character that is skipped may not be there.
    let from = last.map_or(of.start, |last| last + usize::from(states[last].skips));
    Fixed {
        beginning: of.start..of.clone().find(is_loose).unwrap_or(end),
        end: from..end,
    }
}

fn set(mask: &mut [u64], at: usize) {
    mask[at / 64] |= 1 << (at % 64);
}

/// Returns, for each ASCII character, the states that it advances.
///
/// Most states accept one character, or all but a few: only these few are handled one by one.
fn by_character(states: &[State], steps: &mut u64) -> Vec<Vec<u64>> {
    let mut all = vec![0; states.len().div_ceil(64)];
    for (at, state) in states.iter().enumerate() {
        if state.takes_all_but_few() {
            set(&mut all, at);
        }
    }
    let mut ascii = vec![all; ASCII];
    *steps += (ASCII * states.len().div_ceil(64)) as u64;
    for (at, state) in states.iter().enumerate() {
        let (word, bit) = (at / 64, 1 << (at % 64));
        let mut one_by_one = |characters: u128, is_taken: bool| {
            *steps += u64::from(characters.count_ones());
            let mut rest = characters;
            while rest != 0 {
                let of_character = &mut ascii[rest.trailing_zeros() as usize][word];
                if is_taken {
                    *of_character |= bit;
                } else {
                    *of_character &= !bit;
                }
                rest &= rest - 1;
            }
        };
        match &state.next {
            None => {}
            Some(One::Just(c)) => one_by_one(bits_of(*c, *c), true),
            Some(One::Any) => one_by_one(bits_of('/', '/'), false),
            Some(One::Of { ranges, negated }) => {
                let all = ranges
                    .iter()
                    .fold(0, |all, (first, last)| all | bits_of(*first, *last));
                let slash = bits_of('/', '/');
                if *negated {
                    one_by_one(all | slash, false);
                } else {
                    one_by_one(all & !slash, true);
                }
            }
        }
    }
    ascii
}

/// Returns a bit for each ASCII character from `first` to `last`.
fn bits_of(first: char, last: char) -> u128 {
    let (first, last) = (first as usize, last as usize);
    if first >= ASCII {
        return 0;
    }
    let up_to_last = u128::MAX >> (ASCII - 1 - last.min(ASCII - 1));
    up_to_last & (u128::MAX << first)
}

/// Expands a pattern with braces into patterns without.
fn expand(text: &str, plain: &mut Vec<String>, steps: &mut u64) -> Result<(), NotAGlob> {
    *steps += CHARACTER * text.len() as u64;
    let mut depth = 0;
    let mut open = 0;
    let mut cuts = Vec::new();
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        let at = text.len() - rest.as_str().len() - c.len_utf8();
        match c {
            '\\' => {
                rest.next();
            }
            '[' => {
                let (_, length) = class(rest.as_str())?;
                rest = rest.as_str()[length..].chars();
            }
            '{' => {
                if depth == 0 {
                    open = at;
                    cuts.push(at);
                }
                depth += 1;
            }
            ',' if depth == 1 => cuts.push(at),
            '}' if depth == 0 => return Err(NotAGlob("a } without its {")),
            '}' => {
                depth -= 1;
                if depth == 0 {
                    cuts.push(at);
                    for pair in cuts.windows(2) {
                        let choice = &text[pair[0] + 1..pair[1]];
                        let one = format!("{}{choice}{}", &text[..open], &text[at + 1..]);
                        expand(&one, plain, steps)?;
                    }
                    return Ok(());
                }
            }
            _ => {}
        }
    }
    if depth > 0 {
        return Err(NotAGlob("a { without its }"));
    }
    if plain.len() == MAX_ALTERNATIVES {
        return Err(NotAGlob("its braces stand for too many patterns"));
    }
    plain.push(text.to_owned());
    Ok(())
}

/// Returns the states of a pattern without braces.
fn parse(text: &str) -> Result<Vec<State>, NotAGlob> {
    let mut states = vec![State::default()];
    let mut rest = text;
    // Whether a component of the path begins here.
    let mut begins = true;
    while let Some(c) = rest.chars().next() {
        rest = &rest[c.len_utf8()..];
        let here = states.last_mut().expect("it begins with one");
        let next = match c {
            '*' => {
                let behind = rest.trim_start_matches('*');
                let whole_part = begins && rest.len() - behind.len() == 1;
                rest = behind;
                if whole_part && rest.is_empty() {
                    here.stays = Stays::Always;
                    continue;
                }
                if !whole_part || !rest.starts_with('/') {
                    here.stays = here.stays.max(Stays::WithinAPart);
                    begins = false;
                    continue;
                }
                // Repeated `**` components add nothing.
                while let Some(more) = rest
                    .strip_prefix("/**")
                    .filter(|more| more.starts_with('/'))
                {
                    rest = more;
                }
                rest = &rest[1..];
                // In `**/**` the last component matches everything that follows.
                here.stays = Stays::Always;
                here.skips = true;
                One::Just('/')
            }
            '?' => One::Any,
            '[' => {
                let (class, length) = class(rest)?;
                rest = &rest[length..];
                class
            }
            '\\' => {
                let Some(c) = rest.chars().next() else {
                    return Err(NotAGlob("nothing behind its last \\"));
                };
                rest = &rest[c.len_utf8()..];
                One::Just(c)
            }
            c => One::Just(c),
        };
        begins = matches!(next, One::Just('/'));
        here.next = Some(next);
        states.push(State::default());
    }
    Ok(states)
}

/// Parses a character class after its `[`. Returns it, and its length including the `]`.
fn class(text: &str) -> Result<(One, usize), NotAGlob> {
    let unclosed = || NotAGlob("a [ without its ]");
    let inside = text.strip_prefix(['!', '^']);
    let negated = inside.is_some();
    let mut rest = inside.unwrap_or(text);
    let mut ranges = Vec::new();
    loop {
        let first = rest.chars().next().ok_or_else(unclosed)?;
        rest = &rest[first.len_utf8()..];
        if first == ']' && !ranges.is_empty() {
            break;
        }
        let last = rest
            .strip_prefix('-')
            .and_then(|behind| behind.chars().next());
        let last = last.filter(|last| *last != ']');
        if let Some(last) = last {
            rest = &rest[1 + last.len_utf8()..];
        }
        let last = last.unwrap_or(first);
        if last < first {
            return Err(NotAGlob("a range in [ ] that ends before it begins"));
        }
        ranges.push((first, last));
    }
    Ok((One::Of { ranges, negated }, text.len() - rest.len()))
}

#[cfg(test)]
mod tests {
    use globset::GlobBuilder;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(crate::testing::cases(300))]

        #[test]
        fn the_table_of_characters_says_what_each_state_takes(
            pattern in r"(a|/|\?|\*|ü|[{]a,ü[}]|\[!?(a|[!-/]|[ -a]|[a-ÿ]|ü|/){1,3}\]){1,12}",
        ) {
            if let Ok(glob) = Glob::new(&pattern, &mut 0) {
                for (c, table) in ('\0'..='\x7f').zip(&glob.ascii) {
                    prop_assert_eq!(table, &glob.taking(c), "{:?} in {}", c, pattern);
                }
            }
        }
    }

    proptest! {
        #![proptest_config(crate::testing::cases(4000))]

        #[test]
        fn globs_match_what_globset_matches(
            pattern in r"(a|b|\*|\*\*/|/\*\*/|/|\?|\[ab\]|\[b-c-\]|\{a,b/\*,\?\}|\\\*|c){0,7}(/\*\*)?",
            names in proptest::collection::vec("[abc*]{1,3}(/[abc-]{1,3}){0,3}", 8),
        ) {
            // `globset` takes `**/` for `**`, although no name ends in a slash.
            prop_assume!(!pattern.ends_with('/'));
            // Here a pattern with braces means the pattern with each alternative in their place,
            // as in a shell.
            prop_assume!(!pattern.contains("}*") && !pattern.contains("*{"));
            let theirs = GlobBuilder::new(&pattern)
                .literal_separator(true)
                .backslash_escape(true)
                .build();
            let ours = Glob::new(&pattern, &mut 0);
            prop_assert_eq!(theirs.is_ok(), ours.is_ok());
            if let (Ok(theirs), Ok(ours)) = (theirs, ours) {
                let theirs = theirs.compile_matcher();
                for name in names {
                    prop_assert_eq!(ours.matches(&name), theirs.is_match(&name), "{} {}", pattern, name);
                }
            }
        }
    }
}
