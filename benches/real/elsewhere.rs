//! Workflows whose pod is in another cluster: how soon a new cluster is used, and what they write.

use std::time::Instant;

use serde_json::Value;

use crate::{
    bars::Bars,
    place::{Place, pod, workflow},
};

/// One after the other.
const ALONE: usize = 20;

/// Measures it.
pub async fn run(bars: &mut Bars) -> anyhow::Result<()> {
    let place = Place::<2>::start(0).await?;
    place.run(vec![workflow("warm", &[pod("main", None, "argoproj/argosay:v2")])]).await?;

    let begun = Instant::now();
    place.know(1).await?;
    let first = place.run(vec![one("first")]).await?;
    let seconds = begun.elapsed().as_secs_f64();
    println!(
        "new cluster: {seconds:.2} s from the Secret's change to the end of the first pod there, {:.2} s of them the workflow's",
        first.as_secs_f64()
    );
    bars.judge("a new cluster in 2 s", seconds <= 2.0);

    let before: Vec<usize> = (0..2).map(|cluster| place.writes(cluster).len()).collect();
    let mut alone = Vec::new();
    for index in 0..ALONE {
        alone.push(place.run(vec![one(&format!("alone-{index}"))]).await?);
    }
    alone.sort();
    let writes = (0..2).flat_map(|cluster| place.writes(cluster).split_off(before[cluster]));
    let others = writes.filter(|entry| entry.resource != "events").count() as f64 / ALONE as f64;
    println!("one pod elsewhere: {:.3} s in the median of {ALONE}; {others:.2} writes", alone[ALONE / 2].as_secs_f64());
    bars.judge("5 writes a workflow elsewhere", others <= 5.0);
    Ok(())
}

fn one(name: &str) -> Value {
    workflow(name, &[pod("main", Some("other-1"), "argoproj/argosay:v2")])
}
