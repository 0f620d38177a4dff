extern crate std;

use std::vec::Vec;

use super::*;

fn sharer(weight: u32, cap: u32, domain: u32) -> Sharer {
    Sharer {
        weight,
        cap,
        domain,
    }
}

fn sum(shares: impl Iterator<Item = Fraction>) -> Fraction {
    shares.fold(Fraction::ZERO, |a, b| {
        let denominator = a.denominator() * b.denominator();
        let numerator = a.numerator() * b.denominator() + b.numerator() * a.denominator();
        Fraction::new(numerator, denominator)
    })
}

fn level(share: Fraction, sharer: &Sharer) -> Fraction {
    share
        .checked_div(Fraction::from(u64::from(sharer.weight)))
        .unwrap()
}

/// Whether the shares are the weighted max-min fair ones: they meet every limit, and each node
/// below its cap has a bottleneck, a limit that is reached and in which no node has a higher level
/// (Bertsekas and Gallager, §6.5.2: this holds for exactly one choice of shares).
fn check(sharers: &[Sharer], amount: Amount) {
    let shares = quotas(sharers, amount);
    let rows = Fraction::from(u64::from(amount.partitions));
    let domains = sharers.iter().map(|s| s.domain + 1).max().unwrap_or(0);
    let held = |domain: u32| {
        sum(sharers
            .iter()
            .zip(&shares)
            .filter(|(s, _)| s.domain == domain)
            .map(|(_, q)| *q))
    };
    let held: Vec<Fraction> = (0..domains).map(held).collect();
    let total = sum(held.iter().copied());
    assert!(
        total <= Fraction::from(amount.copies),
        "{total} of {amount:?}"
    );
    // What lies beyond one copy a partition: the sum over full domains, less their number of rows.
    let over: Vec<Fraction> = held.iter().copied().filter(|k| *k > rows).collect();
    let allowed = sum([
        Fraction::from(amount.overflow),
        Fraction::from(u64::from(amount.partitions) * over.len() as u64),
    ]
    .into_iter());
    let beyond = sum(over.into_iter());
    assert!(beyond <= allowed, "{sharers:?} {amount:?} {shares:?}");
    let tight = beyond == allowed;
    let all_handed_out = total == Fraction::from(amount.copies);

    for (sharer, share) in sharers.iter().zip(&shares) {
        let cap = Fraction::from(u64::from(sharer.cap));
        assert!(*share <= cap);
        if *share == cap {
            continue;
        }
        let own = level(*share, sharer);
        let highest = |among: &dyn Fn(&Sharer) -> bool| {
            sharers
                .iter()
                .zip(&shares)
                .filter(|(s, _)| among(s))
                .all(|(s, q)| level(*q, s) <= own)
        };
        let by_total = all_handed_out && highest(&|_| true);
        let full = |s: &Sharer| held[s.domain as usize] > rows;
        let by_domain = tight
            && held[sharer.domain as usize] >= rows
            && highest(&|s| s.domain == sharer.domain || full(s));
        assert!(
            by_total || by_domain,
            "{sharer:?} has {share:?}: {sharers:?} {amount:?} {shares:?}"
        );
    }
}

#[test]
fn equal_nodes_share_equally() {
    let sharers: Vec<Sharer> = (0..10).map(|at| sharer(1, 256, at)).collect();
    let amount = Amount {
        partitions: 256,
        copies: 768,
        overflow: 512,
    };
    assert!(
        quotas(&sharers, amount)
            .iter()
            .all(|q| *q == Fraction::new(768, 10))
    );
    check(&sharers, amount);
}

#[test]
fn a_node_never_gets_more_than_one_copy_of_each_partition() {
    let sharers = [sharer(100, 8, 0), sharer(1, 8, 1), sharer(1, 8, 2)];
    let amount = Amount {
        partitions: 8,
        copies: 16,
        overflow: 8,
    };
    let expected = [Fraction::from(8), Fraction::from(4), Fraction::from(4)];
    assert_eq!(quotas(&sharers, amount), expected);
}

#[test]
fn a_large_domain_is_held_to_what_the_spread_allows() {
    // Spread 2 of 2 copies: no row may have both in domain 0, whatever its weight.
    let sharers = [
        sharer(1, 10, 0),
        sharer(1, 10, 0),
        sharer(1, 10, 0),
        sharer(1, 10, 1),
    ];
    let amount = Amount {
        partitions: 10,
        copies: 20,
        overflow: 0,
    };
    let third = Fraction::new(10, 3);
    assert_eq!(
        quotas(&sharers, amount),
        [third, third, third, Fraction::from(10)]
    );
}

#[test]
fn extreme_weights_do_not_overflow() {
    let partitions = 1 << 24;
    let sharers = [
        sharer(u32::MAX, partitions, 0),
        sharer(1, partitions, 1),
        sharer(1, partitions, 1),
    ];
    let copies = 2 * u64::from(partitions);
    check(
        &sharers,
        Amount {
            partitions,
            copies,
            overflow: 0,
        },
    );
    check(
        &sharers,
        Amount {
            partitions,
            copies,
            overflow: u64::from(partitions),
        },
    );
    let many: Vec<Sharer> = (0..1000)
        .map(|at| sharer(u32::MAX - at, partitions, at % 7))
        .collect();
    let shares = quotas(
        &many,
        Amount {
            partitions,
            copies: 3 * copies / 2,
            overflow: 0,
        },
    );
    assert!(
        shares
            .iter()
            .all(|share| share.ceil() <= u128::from(partitions))
    );
}

#[test]
fn shares_are_max_min_fair_on_random_instances() {
    let mut state = 1_u64;
    let mut roll = |sides: u64| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) % sides
    };
    for _ in 0..4_000 {
        let partitions = 1 + roll(12) as u32;
        let (count, domains) = (1 + roll(7), 1 + roll(4));
        let skew = [1, 3, 40][roll(3) as usize];
        let sharers: Vec<Sharer> = (0..count)
            .map(|_| {
                let cap = if roll(5) == 0 {
                    roll(u64::from(partitions)) as u32
                } else {
                    partitions
                };
                sharer(1 + roll(skew) as u32, cap, roll(domains) as u32)
            })
            .collect();
        let copies = 1 + roll(4);
        let spread = 1 + roll(copies);
        let total = u64::from(partitions) * copies;
        let overflow = u64::from(partitions) * (copies - spread);
        check(
            &sharers,
            Amount {
                partitions,
                copies: total,
                overflow,
            },
        );
    }
}
