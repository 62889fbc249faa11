//! Changes of profiles by the line, which leave most of them TOML: a change of any byte seldom gets past the parser.

/// Makes one change of `input`: of a value, a line, or the whole.
pub(crate) fn mutate(input: &mut Vec<u8>, chance: &mut Chance) {
    let mut lines: Vec<Vec<u8>> = input.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
    let at = chance.below(lines.len());
    let other = chance.below(lines.len());
    match chance.below(12) {
        0..5 => change_value(lines.get_mut(at), chance),
        5..8 => lines.insert(at, format!("{}\n", chance.pick(&LINES)).into()),
        8 if !lines.is_empty() => lines.swap(at, other),
        9 if !lines.is_empty() => lines.insert(at, lines[other].clone()),
        10 if !lines.is_empty() => drop(lines.remove(at)),
        _ => return change_bytes(input, chance),
    }
    *input = lines.concat();
}

/// Writes another value into a line `key = value`, or another key.
fn change_value(line: Option<&mut Vec<u8>>, chance: &mut Chance) {
    let Some(line) = line else { return };
    let Some(equals) = line.iter().position(|&byte| byte == b'=').filter(|_| !line.starts_with(b"===")) else { return };
    let (key, value) = (line[..equals].to_vec(), line[equals + 1..].to_vec());
    *line = match chance.below(8) {
        0 => [chance.pick(&KEYS).as_bytes(), b" =", &value].concat(),
        1 => [key.trim_ascii_end(), b".", chance.pick(&KEYS).as_bytes(), b" =", &value].concat(),
        2 => [&key, &b"= ["[..], value.trim_ascii(), b", ", another(&value, chance), b"]\n"].concat(),
        3 => [&key, &b"= { a ="[..], value.trim_ascii_end(), b" }\n"].concat(),
        _ => [&key, &b"= "[..], another(&value, chance), b"\n"].concat(),
    };
}

/// Mostly of the kind of `value`.
fn another(value: &[u8], chance: &mut Chance) -> &'static [u8] {
    let text = match (chance.below(6), value.trim_ascii_start().first()) {
        (0, _) => chance.pick(&OTHERS),
        (1, _) => chance.pick(&NUMBERS),
        (2, _) | (_, Some(b'"' | b'\'')) => chance.pick(&TEXTS),
        (_, Some(b'0'..=b'9')) => chance.pick(&NUMBERS),
        _ => chance.pick(&OTHERS),
    };
    text.as_bytes()
}

fn change_bytes(input: &mut Vec<u8>, chance: &mut Chance) {
    const PARTS: [&[u8]; 12] = [b"\n", b"\r\n", b"\"", b"'''", b"[", b"]", b"{", b"}", b"=", b".", b"#", b"\xff"];
    let at = chance.below(input.len());
    match chance.below(4) {
        0 => input.truncate(at),
        1 => input.extend_from_within(..at),
        2 => drop(input.splice(at..at, chance.pick(&PARTS).iter().copied())),
        _ => input.iter_mut().skip(at).take(1).for_each(|byte| *byte ^= 1 << chance.below(8)),
    }
}

const KEYS: [&str; 12] = [
    "jpeg_quality",
    "max_dimension_px",
    "model",
    "rank",
    "enabled",
    "watch",
    "log",
    "extends",
    "\"\"",
    "\"a.b\"",
    "'ä'",
    "a",
];

const NUMBERS: [&str; 16] = [
    "0",
    "1",
    "2",
    "16",
    "30",
    "50",
    "64",
    "100",
    "256",
    "600",
    "1024",
    "4096",
    "0x10",
    "600000",
    "4294967296",
    "9223372036854775807",
];

const TEXTS: [&str; 14] = [
    "''",
    "'fast'",
    "'landscape'",
    "'selfie'",
    "'mask'",
    "'off'",
    "'own'",
    "'base'",
    "'[::1]:80'",
    "'info,x=debug'",
    "'sixteen letters!'",
    "\"\"\"\n\"\"\"",
    "\"\\u0000\\u001b[1m\"",
    "'*'",
];

const OTHERS: [&str; 14] = [
    "-1",
    "1.0",
    "-0.0",
    "1e308",
    "nan",
    "true",
    "false",
    "[]",
    "['x']",
    "{}",
    "[{ a = 1 }, 'x']",
    "1979-05-27",
    "07:32:00",
    "x",
];

const LINES: [&str; 26] = [
    "=== own.toml",
    "=== base.toml",
    "=== --set capture.jpeg_quality=40",
    "=== --set modes.own={model='x'}",
    "=== --set server.listen=1",
    "extends = 'base'",
    "extends = 'own'",
    "[server]",
    "[capture]",
    "[capture.adaptive]",
    "[modes.own]",
    "[modes.fast]",
    "[modes.fast.settings]",
    "[[modes.fast.settings.a]]",
    "[modes.'']",
    "[modes.'a.b']",
    "default_mode = 'own'",
    "model = 'selfie'",
    "threads = 2",
    "modes.own.model = 'x'",
    "capture = {}",
    "capture.adaptive.enabled = true",
    "limits.max_sessions = 2",
    "security.allowed_origins = ['*']",
    "a.b.c = 1",
    "# more",
];

/// SplitMix64 (Steele, Lea and Flood, 2014): numbers that look like chance.
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        let end = u64::try_from(end).unwrap_or(u64::MAX).max(1);
        usize::try_from(self.next() % end).unwrap_or_default()
    }

    fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        from[self.below(N)]
    }
}
