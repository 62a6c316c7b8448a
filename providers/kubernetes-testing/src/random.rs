//! Names and delays: as if by chance, and the same for the same seed.

use std::time::Duration;

use serde_json::Value;

/// The letters of generated names (`k8s.io/apimachinery/pkg/util/rand`): no vowels, none that
/// look alike.
const LETTERS: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";

/// A source of numbers (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Starts from a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns the next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// Returns a duration between two, both included.
    pub fn between(&mut self, least: Duration, most: Duration) -> Duration {
        let span = most.saturating_sub(least).as_micros() as u64;
        least + Duration::from_micros(self.next() % (span + 1))
    }

    /// Returns five letters, as at the end of a pod's name.
    pub fn suffix(&mut self) -> String {
        (0..5).map(|_| char::from(LETTERS[(self.next() % 27) as usize])).collect()
    }

    /// Returns a UID.
    pub fn uid(&mut self) -> String {
        let (high, low) = (self.next(), self.next());
        format!(
            "{:08x}-{:04x}-4{:03x}-a{:03x}-{:012x}",
            high >> 32,
            high >> 16 & 0xFFFF,
            high & 0xFFF,
            low >> 48 & 0xFFF,
            low & 0xFFFF_FFFF_FFFF
        )
    }
}

/// Returns the hash of a template for names and `pod-template-hash`: FNV-1a of its JSON, in the
/// letters of `rand.SafeEncodeString`. The real one hashes Go's printed form of the structure
/// (`ComputeHash` in `pkg/controller/controller_utils.go`), so that the letters differ.
pub fn hash(template: &Value, collisions: i64) -> String {
    let text = format!(
        "{template}{}",
        if collisions > 0 { collisions.to_string() } else { String::new() }
    );
    let hash = text
        .bytes()
        .fold(2_166_136_261_u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(16_777_619));
    hash.to_string().bytes().map(|digit| char::from(LETTERS[usize::from(digit) % 27])).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_seed_gives_the_same_names() {
        let names = |seed| {
            let mut random = Random::new(seed);
            (random.suffix(), random.uid())
        };
        assert_eq!(names(1), names(1));
        assert_ne!(names(1), names(2));
        let (suffix, uid) = names(3);
        assert_eq!((suffix.len(), uid.len()), (5, 36));
        assert!(suffix.bytes().all(|letter| LETTERS.contains(&letter)));
    }

    #[test]
    fn delays_are_between_their_bounds() {
        let mut random = Random::new(1);
        let (least, most) = (Duration::from_millis(10), Duration::from_millis(50));
        assert!((0..1000).all(|_| (least..=most).contains(&random.between(least, most))));
        assert_eq!(random.between(most, least), most);
    }

    #[test]
    fn a_collision_gives_another_hash() {
        let template = json!({"spec": {"containers": []}});
        assert_eq!(hash(&template, 0), hash(&template, 0));
        assert_ne!(hash(&template, 0), hash(&template, 1));
    }
}
