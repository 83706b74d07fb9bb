// What many logs in one store cost the reference: node many-logs.js PHASE DIR COUNT. The phases, what
// they do and what they print are those of crates/hypercore/examples/many_logs.rs.
'use strict'

const { createRequire } = require('module')
const fs = require('fs')
const path = require('path')

const need = createRequire(path.join(process.env.HYPERCORE_INTEROP, 'index.js'))
const Corestore = need('corestore')

const BLOCKS = 10
const BLOCK = Buffer.alloc(100, 7)
const AT_ONCE = 64

const [phase, dir, words] = process.argv.slice(2)
const count = Number(words)
const full = path.join(dir, 'full')
const copy = path.join(dir, 'copy')
const resident = () => process.memoryUsage.rss()

function size (dir) {
  let total = 0
  for (const entry of fs.readdirSync(dir, { withFileTypes: true })) {
    const at = path.join(dir, entry.name)
    total += entry.isDirectory() ? size(at) : fs.statSync(at).blocks * 512
  }
  return total
}

function say (begun, memory, dir) {
  const seconds = Number(process.hrtime.bigint() - begun) / 1e9
  const { user, system } = process.cpuUsage()
  const cpu = (user + system) / 1e6
  console.log(JSON.stringify({ seconds, cpu, memory, disk: size(dir) }))
}

const phases = {
  async create () {
    const begun = process.hrtime.bigint()
    const store = new Corestore(full)
    for (let i = 0; i < count; i++) {
      const log = store.get({ name: 'log-' + i })
      await log.append(Array(BLOCKS).fill(BLOCK))
      await log.close()
    }
    await store.close()
    say(begun, 0, full)
  },
  async open () {
    const store = new Corestore(full)
    await store.ready()
    const before = resident()
    const begun = process.hrtime.bigint()
    const logs = []
    for (let i = 0; i < count; i++) {
      const log = store.get({ name: 'log-' + i })
      await log.ready()
      logs.push(log)
    }
    if (!logs.every((log) => log.length === BLOCKS)) throw new Error('blocks are missing')
    say(begun, Math.max(0, resident() - before), full)
    await store.close()
  },
  async replicate () {
    const from = new Corestore(full)
    const to = new Corestore(copy)
    await Promise.all([from.ready(), to.ready()])
    const keys = []
    for await (const discoveryKey of from.list()) keys.push((await from.getAuth(discoveryKey)).key)
    if (keys.length !== count) throw new Error('logs are missing')
    const before = resident()
    const begun = process.hrtime.bigint()
    const s = from.replicate(false)
    s.pipe(to.replicate(true)).pipe(s)
    const logs = []
    for (let i = 0; i < count; i += AT_ONCE) {
      logs.push(...await Promise.all(keys.slice(i, i + AT_ONCE).map(async (key) => {
        const log = to.get({ key })
        await log.ready()
        await log.download({ start: 0, end: BLOCKS }).done()
        return log
      })))
    }
    if (!logs.every((log) => log.contiguousLength === BLOCKS)) throw new Error('blocks are missing')
    say(begun, Math.max(0, resident() - before), copy)
    s.destroy()
    await to.close()
    await from.close()
  }
}

phases[phase]().then(() => process.exit(0), (error) => {
  console.error(error)
  process.exit(1)
})
