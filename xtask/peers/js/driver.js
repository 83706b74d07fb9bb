#!/usr/bin/env node
// Benchmark driver for the JavaScript Hypercores. One process, one workload, one JSON line.
// The command line and the meaning of every operation are in xtask/peers/README.md.
'use strict'

const fs = require('node:fs')
const net = require('node:net')
const crypto = require('node:crypto')
const { parseArgs } = require('node:util')

const { values: args, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    impl: { type: 'string', default: '11' },
    dir: { type: 'string' },
    n: { type: 'string', default: '0' },
    size: { type: 'string', default: '1024' },
    batch: { type: 'string', default: '1' },
    count: { type: 'string', default: '0' },
    concurrency: { type: 'string', default: '1' },
    seed: { type: 'string', default: '1' },
    start: { type: 'string', default: '0' },
    end: { type: 'string', default: '0' },
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string', default: '0' },
    control: { type: 'string', default: '0' },
    key: { type: 'string' },
    live: { type: 'boolean', default: false }
  }
})
const op = positionals[0]
const num = (name) => Number(args[name])

const v10 = args.impl === '10'
const Hypercore = require(v10 ? 'hypercore10' : 'hypercore')
const Corestore = () => require(v10 ? 'corestore6' : 'corestore')
const SecretStream = require('@hyperswarm/secret-stream')

// ---- measuring -------------------------------------------------------------------------------

const now = () => Number(process.hrtime.bigint()) / 1e9
const round = (x, digits = 4) => Number(x.toFixed(digits))

function statusMb (field) {
  const m = new RegExp(`${field}:\\s+(\\d+) kB`).exec(fs.readFileSync('/proc/self/status', 'utf8'))
  return m ? round(Number(m[1]) / 1024, 1) : null
}

class Meter {
  constructor () {
    this.cpu = process.cpuUsage()
    this.t = now()
  }

  stop (n, bytes) {
    const secs = now() - this.t
    const cpu = process.cpuUsage(this.cpu)
    return {
      n,
      bytes,
      secs: round(secs, 6),
      ops_per_s: round(n / secs, 1),
      mb_per_s: round(bytes / secs / 1e6, 2),
      cpu_user_s: round(cpu.user / 1e6),
      cpu_sys_s: round(cpu.system / 1e6),
      peak_rss_mb: statusMb('VmHWM')
    }
  }
}

function report (obj) {
  fs.writeSync(1, JSON.stringify(obj) + '\n')
}

// ---- deterministic input: the same in every driver -------------------------------------------

class Blocks {
  constructor (size) {
    this.size = size
    this.slots = Math.max(64, Math.floor((16 << 20) / size))
    this.pool = Buffer.allocUnsafe(this.slots * size)
    crypto.randomFillSync(this.pool)
    for (let i = 0; i < this.slots; i++) this.pool.writeUInt32LE(i, i * size)
  }

  get (i) {
    const at = (i % this.slots) * this.size
    return this.pool.subarray(at, at + this.size)
  }
}

function verify (block, i, size) {
  const slots = Math.max(64, Math.floor((16 << 20) / size))
  if (block === null || block.byteLength !== size || block.readUInt32LE(0) !== i % slots) {
    throw new Error(`block ${i} is not what was appended`)
  }
}

function lcg (seed) {
  let x = seed >>> 0
  return (n) => {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0
    return Math.floor((x / 4294967296) * n)
  }
}

// ---- local workloads -------------------------------------------------------------------------

async function append () {
  const n = num('n')
  const size = num('size')
  const batch = num('batch')
  const src = new Blocks(size)
  const core = new Hypercore(args.dir)
  await core.ready()

  const meter = new Meter()
  if (batch === 1) {
    for (let i = 0; i < n; i++) await core.append(src.get(i))
  } else {
    for (let i = 0; i < n;) {
      const list = []
      while (list.length < batch && i < n) list.push(src.get(i++))
      await core.append(list)
    }
  }
  const out = meter.stop(n, n * size)

  const t = now()
  await core.close()
  return { ...out, close_secs: round(now() - t), batch, fsync: 'none' }
}

async function getRand () {
  const count = num('count')
  const size = num('size')
  const width = num('concurrency')
  const core = new Hypercore(args.dir)
  await core.ready()
  const n = core.length
  const next = lcg(num('seed'))

  const meter = new Meter()
  let left = count
  const worker = async () => {
    while (left-- > 0) {
      const i = next(n)
      verify(await core.get(i), i, size)
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  const out = meter.stop(count, count * size)
  await core.close()
  return { ...out, concurrency: width }
}

async function readSeq () {
  const size = num('size')
  const core = new Hypercore(args.dir)
  await core.ready()

  const meter = new Meter()
  let i = 0
  for await (const block of core.createReadStream()) verify(block, i++, size)
  const out = meter.stop(i, i * size)
  if (i !== core.length) throw new Error('short read')
  await core.close()
  return { ...out, via: 'createReadStream' }
}

async function open () {
  const meter = new Meter()
  const core = new Hypercore(args.dir)
  await core.ready()
  const n = core.length
  const out = meter.stop(n, 0)
  const rss = statusMb('VmRSS')
  const t = now()
  await core.close()
  return { ...out, ops_per_s: round(1 / out.secs, 2), open_ms: round(out.secs * 1e3, 3), rss_mb: rss, close_secs: round(now() - t) }
}

async function clear () {
  const core = new Hypercore(args.dir)
  await core.ready()
  const start = num('start')
  const end = num('end')
  const meter = new Meter()
  await core.clear(start, end)
  const out = meter.stop(end - start, 0)
  const t = now()
  await core.close()
  return { ...out, close_secs: round(now() - t) }
}

async function truncate () {
  const core = new Hypercore(args.dir)
  await core.ready()
  const before = core.length
  const meter = new Meter()
  await core.truncate(num('n'))
  const out = meter.stop(before - num('n'), 0)
  const t = now()
  await core.close()
  return { ...out, close_secs: round(now() - t) }
}

async function compact () {
  const core = new Hypercore(args.dir)
  await core.ready()
  if (v10) return { unsupported: 'flat files, nothing to compact' }
  const meter = new Meter()
  await core.state.storage.db.compactRange()
  const out = meter.stop(1, 0)
  await core.close()
  return out
}

// ---- many cores ------------------------------------------------------------------------------

async function manyCreate () {
  const cores = num('count')
  const each = num('n')
  const size = num('size')
  const src = new Blocks(size)
  const store = new (Corestore())(args.dir)
  await store.ready()

  const meter = new Meter()
  const held = []
  for (let c = 0; c < cores; c++) {
    const core = store.get({ name: 'core-' + c })
    await core.ready()
    await core.append(Array.from({ length: each }, (_, i) => src.get(i)))
    held.push(core)
  }
  const out = meter.stop(cores, cores * each * size)
  const rss = statusMb('VmRSS')
  const t = now()
  await store.close()
  return { ...out, rss_mb: rss, close_secs: round(now() - t), via: 'corestore' }
}

async function manyOpen () {
  const cores = num('count')
  const each = num('n')
  const base = statusMb('VmRSS')
  const meter = new Meter()
  const store = new (Corestore())(args.dir)
  await store.ready()
  const held = []
  for (let c = 0; c < cores; c++) {
    const core = store.get({ name: 'core-' + c })
    await core.ready()
    if (core.length !== each) throw new Error('core ' + c + ' has length ' + core.length)
    held.push(core)
  }
  const out = meter.stop(cores, 0)
  const rss = statusMb('VmRSS')
  await store.close()
  return { ...out, rss_before_mb: base, rss_mb: rss, via: 'corestore' }
}

// ---- replication -----------------------------------------------------------------------------

function attach (core, socket, isInitiator) {
  socket.setNoDelay(true)
  const stream = new SecretStream(isInitiator, socket)
  stream.on('error', () => {})
  core.replicate(stream)
  return stream
}

function listen (server) {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(server.address().port)))
}

async function serve () {
  const core = new Hypercore(args.dir)
  await core.ready()

  let meter = null
  let closed = null
  const sockets = []
  const data = net.createServer((socket) => {
    if (meter === null) meter = new Meter()
    sockets.push(socket)
    closed = new Promise((resolve) => socket.on('close', resolve))
    attach(core, socket, false)
  })
  const control = net.createServer((socket) => {
    socket.setNoDelay(true)
    socket.on('data', async (bytes) => {
      for (let i = 0; i < bytes.length; i++) {
        const block = Buffer.alloc(num('size'), 7)
        block.writeBigUInt64LE(process.hrtime.bigint(), 0)
        await core.append(block)
      }
    })
    socket.on('error', () => {})
  })
  report({
    ready: true,
    port: await listen(data),
    control: args.live ? await listen(control) : 0,
    key: core.key.toString('hex'),
    length: core.length
  })

  process.stdin.resume()
  await new Promise((resolve) => process.stdin.on('end', resolve))
  if (closed) await closed
  const out = meter ? meter.stop(0, 0) : {}
  out.wire_in = sockets.reduce((sum, s) => sum + s.bytesRead, 0)
  out.wire_out = sockets.reduce((sum, s) => sum + s.bytesWritten, 0)
  control.close()
  data.close()
  await core.close()
  return out
}

async function client () {
  const core = new Hypercore(args.dir, Buffer.from(args.key, 'hex'))
  await core.ready()
  const meter = new Meter()
  const socket = net.connect(num('port'), args.host)
  await new Promise((resolve, reject) => socket.on('connect', resolve).on('error', reject))
  attach(core, socket, true)
  return {
    core,
    meter,
    async finish (n, bytes, extra) {
      const out = meter.stop(n, bytes)
      out.wire_in = socket.bytesRead
      out.wire_out = socket.bytesWritten
      const done = new Promise((resolve) => socket.on('close', resolve))
      socket.destroy()
      await done
      const t = now()
      await core.close()
      return { ...out, close_secs: round(now() - t), ...extra }
    }
  }
}

async function replicate () {
  const n = num('n')
  const size = num('size')
  const peer = await client()
  await peer.core.download({ start: 0, end: n }).done()
  if (peer.core.contiguousLength !== n) throw new Error('downloaded ' + peer.core.contiguousLength)
  return peer.finish(n, n * size)
}

async function sparse () {
  const n = num('n')
  const size = num('size')
  const next = lcg(num('seed'))
  const wanted = new Set()
  while (wanted.size < num('count')) wanted.add(next(n))
  const queue = [...wanted]

  const peer = await client()
  const worker = async () => {
    while (queue.length > 0) {
      const i = queue.pop()
      verify(await peer.core.get(i), i, size)
    }
  }
  await Promise.all(Array.from({ length: num('concurrency') }, worker))
  return peer.finish(wanted.size, wanted.size * size, { concurrency: num('concurrency') })
}

async function live () {
  const rounds = num('count')
  const peer = await client()
  const control = net.connect(num('control'), args.host)
  control.setNoDelay(true)
  await new Promise((resolve) => control.on('connect', resolve))
  const first = num('n')
  const ms = []
  let size = 0
  for (let i = 0; i < rounds; i++) {
    const pending = peer.core.get(first + i)
    control.write('a')
    const block = await pending
    ms.push(Number(process.hrtime.bigint() - block.readBigUInt64LE(0)) / 1e6)
    size = block.byteLength
  }
  control.destroy()
  const sorted = ms.slice(Math.min(20, rounds >> 2)).sort((a, b) => a - b)
  const at = (q) => round(sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))])
  return peer.finish(rounds, rounds * size, { p50_ms: at(0.5), p90_ms: at(0.9), p99_ms: at(0.99), max_ms: at(1) })
}

const ops = { append, 'get-rand': getRand, 'read-seq': readSeq, open, clear, truncate, compact, 'many-create': manyCreate, 'many-open': manyOpen, serve, replicate, sparse, live }

if (!ops[op]) {
  report({ unsupported: 'unknown operation ' + op })
  process.exit(1)
}
ops[op]().then(
  (out) => {
    const total = process.cpuUsage()
    report({ ...out, cpu_process_s: round((total.user + total.system) / 1e6) })
    process.exit(0)
  },
  (err) => {
    console.error(err)
    report({ error: String(err && err.message) })
    process.exit(1)
  }
)
