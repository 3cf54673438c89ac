//! Shared by the goldens of frames and of sessions.

/// Parses commented hex: `#` begins a comment, and `11x32` is 32 bytes of `11`.
pub fn parse(commented_hex: &str) -> Vec<u8> {
    let words = commented_hex
        .lines()
        .filter_map(|line| line.split('#').next())
        .flat_map(str::split_whitespace);
    let mut bytes = Vec::new();
    for word in words {
        let (digits, times) = word.split_once('x').unwrap_or((word, "1"));
        for _ in 0..times.parse::<u8>().expect("a count") {
            for pair in digits.as_bytes().chunks(2) {
                let pair = std::str::from_utf8(pair).expect("hex digits");
                bytes.push(u8::from_str_radix(pair, 16).expect("hex digits"));
            }
        }
    }
    bytes
}
