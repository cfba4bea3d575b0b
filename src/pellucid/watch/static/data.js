// What the server has told so far, by run and stage: buckets of curves, of which only new ones are asked for.

/** The server was reached, and told why it has no answer. */
class Refusal extends Error {}

async function reasonOf(answer) {
  try {
    return (await answer.json()).error.message;
  } catch {
    return null;
  }
}

class Store {
  constructor() {
    this.runs = [];
    this.stages = new Map();
  }

  async ask(path) {
    const answer = await fetch(path, { headers: { Accept: "application/json" } });
    if (!answer.ok) throw new Refusal((await reasonOf(answer)) ?? `the server answers ${answer.status}`);
    return answer.json();
  }

  async lookAtRuns() {
    this.runs = (await this.ask("/runs")).runs;
  }

  /** Bring a stage up to date and return it; null where the run has none yet. */
  async lookAtStage(run, name) {
    const known = this.stages.get(`${run}/${name}`);
    const asked = new URLSearchParams({ run });
    if (name !== null) asked.set("stage", name);
    if (known) {
      asked.set("generation", known.generation);
      asked.set("stride", known.stride);
      asked.set("have", Math.max(0, known.steps.length - 1)); // the last bucket may have been half full
    }
    const told = await this.ask(`/stage?${asked}`);
    if (told.stage === null) return null;
    const stage = known && told.from > 0 ? known : { steps: [], tokens: [], channels: new Map() };
    Object.assign(stage, { name: told.stage, generation: told.generation, stride: told.stride, now: told.now, marks: told.marks,
      samples: told.samples, readShare: told.read_share });
    replaceFrom(stage.steps, told.from, told.steps);
    replaceFrom(stage.tokens, told.from, told.tokens);
    for (const [channel, rows] of Object.entries(told.channels)) {
      const had = stage.channels.get(channel) ?? [[], [], []];
      for (let row = 0; row < 3; row += 1) {
        while (had[row].length < told.from) had[row].push(null);
        replaceFrom(had[row], told.from, rows[rows.length === 1 ? 0 : row]);
      }
      stage.channels.set(channel, had);
    }
    this.stages.set(`${run}/${told.stage}`, stage);
    return stage;
  }
}

function replaceFrom(list, place, values) {
  list.length = place;
  for (const value of values) list.push(value);
}

/** Values with the noise taken out: exponential means from the left and then from the right, so that nothing moves sideways.
 *  `share` of 0 leaves the values, 1 takes means over about a tenth of all. */
function smooth(values, share) {
  const keep = 1 - 1 / Math.max(1, share * share * 0.1 * values.length);
  return means(means(values, keep).reverse(), keep).reverse();
}

function means(values, keep) {
  let level = 0;
  let weight = 0;
  return values.map((value) => {
    if (value === null) return null;
    level = keep * level + (1 - keep) * value;
    weight = keep * weight + (1 - keep);
    return level / weight;
  });
}
