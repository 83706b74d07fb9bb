// A JavaScript peer under remote control: one JSON request a line on stdin, one JSON answer a line on
// stdout. The interop tests drive it; `crates/hc-testkit/src/reference.rs` is the other end.
//
//   node reference.js 11|10
//
// A request is {id, op, ...}; the answer {id, ok} or {id, error}. Events are {event, ...}. Bytes are
// hex. `core` names a handle and defaults to "main".
'use strict'

const { createRequire } = require('module')
const fs = require('fs')
const net = require('net')
const crypto = require('crypto')
const path = require('path')
const readline = require('readline')

const need = createRequire(path.join(process.env.HYPERCORE_INTEROP, 'index.js'))
const Hypercore = need(process.argv[2] === '10' ? 'hypercore10' : 'hypercore')
const Protomux = need('protomux')

const cores = new Map()
const named = new Map() // those of the store
const extensions = new Map()
const sockets = new Map() // each with its encrypted stream
let store = null // replicates all its cores
let bee = null
let drive = null
const wire = { in: 0, out: 0 }
let server = null

const hex = (bytes) => (bytes ? Buffer.from(bytes).toString('hex') : null)
const bytes = (text) => (text ? Buffer.from(text, 'hex') : undefined)
const say = (line) => process.stdout.write(JSON.stringify(line) + '\n')

function core (m) {
  const name = m.core || 'main'
  if (named.has(name)) return named.get(name)
  if (!cores.has(name)) throw new Error('no core is open under the name ' + name)
  return cores.get(name)
}

// Block i has lenBase + (i * lenStep mod lenMod) bytes; its byte j is (i * a + j * b + salt) mod 256.
function block (p, i) {
  const value = Buffer.alloc(p.lenBase + ((i * p.lenStep) % p.lenMod))
  for (let j = 0; j < value.length; j++) value[j] = (i * p.a + j * p.b + p.salt) & 255
  return value
}

function attach (socket, isInitiator) {
  socket.setNoDelay(true)
  let stream = store === null ? null : store.replicate(isInitiator)
  for (const c of cores.values()) {
    if (stream === null) stream = c.replicate(isInitiator)
    else c.replicate(stream)
  }
  sockets.set(socket, stream)
  socket.on('data', (data) => { wire.in += data.byteLength })
  const write = socket.write
  socket.write = function (data, ...rest) {
    if (data && data.byteLength) wire.out += data.byteLength
    return write.call(socket, data, ...rest)
  }
  stream.on('error', (error) => say({ event: 'stream-error', message: error.message, code: error.code || null }))
  socket.on('error', () => {})
  socket.on('close', () => {
    sockets.delete(socket)
    stream.destroy()
    say({ event: 'disconnected' })
  })
  socket.pipe(stream).pipe(socket)
}

const remoteProof = () => need('hypercore/lib/fully-remote-proof.js')

// Version 11 fetches the last block when asked for the hash of the tree, but for this way.
function treeHash (c, length = c.length) {
  return Hypercore.treeHashFromStorage ? Hypercore.treeHashFromStorage(c, length) : c.treeHash(length)
}

// Says what comes under that name.
function extension (m) {
  const name = (m.core || 'main') + '/' + m.name
  if (!extensions.has(name)) {
    const onmessage = (message) => say({ event: 'extension', name: m.name, message: hex(message) || '' })
    extensions.set(name, core(m).registerExtension(m.name, { onmessage }))
  }
  return extensions.get(name)
}

// Bytes of a file, by its path.
function content (path, size) {
  return Buffer.alloc(size, path)
}

const digest = (value) => crypto.createHash('sha256').update(value).digest('hex')

async function facts (c) {
  await c.ready()
  const info = await c.info()
  return {
    key: hex(c.key),
    discoveryKey: hex(c.discoveryKey),
    length: c.length,
    contiguousLength: c.contiguousLength,
    byteLength: info.byteLength,
    fork: c.fork,
    writable: c.writable,
    treeHash: hex(await treeHash(c)),
    peers: c.peers.length
  }
}

const ops = {
  async open (m) {
    const opts = { ...m.options }
    if (m.encryptionKey) opts.encryption = { key: bytes(m.encryptionKey) }
    if (m.encryptionKey && process.argv[2] === '10') opts.encryptionKey = bytes(m.encryptionKey)
    if (m.manifest) opts.manifest = bytes(m.manifest)
    if (opts.seed) opts.keyPair = need('hypercore-crypto').keyPair(bytes(opts.seed))
    const c = new Hypercore(m.dir, bytes(m.key), opts)
    await c.ready()
    cores.set(m.core || 'main', c)
    c.on('append', () => say({ event: 'append', core: m.core || 'main', length: c.length }))
    c.on('truncate', (to, fork) => say({ event: 'truncate', core: m.core || 'main', to, fork }))
    c.on('conflict', (length, fork) => say({ event: 'conflict', core: m.core || 'main', length, fork }))
    if (m.report) {
      c.on('upload', (index, size) => say({ event: 'upload', index, size }))
      c.on('download', (index, size) => say({ event: 'download', index, size }))
    }
    return facts(c)
  },
  async openStore (m) {
    const Corestore = need('corestore')
    store = new Corestore(m.dir, { primaryKey: bytes(m.primaryKey), unsafe: true })
    await store.ready()
    return {}
  },
  // A log of the store, by name (in a namespace) or by key.
  async openNamed (m) {
    const place = (m.namespaces || []).reduce((at, name) => at.namespace(name), store)
    const c = place.get(m.key ? { key: bytes(m.key) } : { name: m.name })
    await c.ready()
    named.set(m.core, c)
    return facts(c)
  },
  async append (m) {
    const c = core(m)
    let batch = []
    if (m.blocks) batch = m.blocks.map((b) => Buffer.from(b, 'hex'))
    else for (let i = m.from; i < m.to; i++) batch.push(block(m.pattern, i))
    const step = m.batch || batch.length || 1
    for (let i = 0; i < batch.length; i += step) await c.append(batch.slice(i, i + step))
    return { length: c.length }
  },
  // Appends a file, so many bytes a block and so many blocks a batch.
  async appendFile (m) {
    let batch = []
    for await (const chunk of fs.createReadStream(m.path, { highWaterMark: m.chunk })) {
      batch.push(chunk)
      if (batch.length === m.batch) {
        await core(m).append(batch)
        batch = []
      }
    }
    if (batch.length) await core(m).append(batch)
    return { length: core(m).length }
  },
  async truncate (m) {
    await core(m).truncate(m.length, m.fork)
    return facts(core(m))
  },
  async clear (m) {
    await core(m).clear(m.start, m.end)
    return facts(core(m))
  },
  async copyPrologue (m) {
    await core(m).core.copyPrologue(core({ core: m.from }).core.state)
    return facts(core(m))
  },
  // Proofs without a connection, which version 11 has.
  async prove (m) {
    const c = core(m)
    const upgrade = m.length ? { start: 0, length: m.length } : null
    const value = m.index === null ? null : await c.get(m.index)
    return { proof: hex(await remoteProof().proof(c, { index: m.index, block: value, upgrade })) }
  },
  // Null where the proof does not hold.
  async verifyProof (m) {
    const verified = await remoteProof().verify(core(m).core.db, bytes(m.proof))
    return verified && { length: verified.length, newer: verified.newer, block: hex(verified.block && verified.block.value) }
  },
  async listen () {
    server = net.createServer((socket) => attach(socket, false))
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
    return { port: server.address().port }
  },
  async connect (m) {
    const socket = net.connect(m.port, '127.0.0.1')
    await new Promise((resolve, reject) => { socket.once('connect', resolve).once('error', reject) })
    attach(socket, true)
    return {}
  },
  async disconnect () {
    const closed = [...sockets.keys()].map((s) => new Promise((resolve) => { s.once('close', resolve); s.destroy() }))
    await Promise.all(closed)
    return {}
  },
  async download (m) {
    const range = core(m).download(m.range)
    await (range.done ? range.done() : range.downloaded())
    return facts(core(m))
  },
  async get (m) {
    const value = await core(m).get(m.index, m.options || {})
    return { value: value === null ? null : hex(value) }
  },
  async getMany (m) {
    const values = await Promise.all(m.indexes.map((i) => core(m).get(i)))
    return { values: values.map(hex) }
  },
  async has (m) {
    return { has: await core(m).has(m.start, m.end) }
  },
  // The blocks that are stored here.
  async held (m) {
    const blocks = []
    for (let i = 0; i < core(m).length; i++) if (await core(m).has(i)) blocks.push(i)
    return { blocks }
  },
  async seek (m) {
    const found = await core(m).seek(m.bytes, m.options || {})
    return { found }
  },
  async update (m) {
    return { updated: await core(m).update(m.options || { wait: true }) }
  },
  async waitFor (m) {
    const c = core(m)
    const deadline = Date.now() + (m.timeout || 20000)
    while (c.length < m.length || (m.contiguous && c.contiguousLength < m.length)) {
      if (Date.now() > deadline) throw new Error('length is ' + c.length + ' (contiguous ' + c.contiguousLength + '), not ' + m.length)
      await new Promise((resolve) => setTimeout(resolve, 5))
    }
    return facts(c)
  },
  // SHA-256 over length (u32, little-endian) and bytes of each block.
  async digest (m) {
    const c = core(m)
    const hash = crypto.createHash('sha256')
    for (let i = m.start; i < m.end; i++) {
      const value = await c.get(i)
      const size = Buffer.alloc(4)
      size.writeUInt32LE(value.byteLength)
      hash.update(size).update(value)
    }
    return { digest: hash.digest('hex') }
  },
  async treeHash (m) {
    return { treeHash: hex(await treeHash(core(m), m.length)) }
  },
  async info (m) {
    return facts(core(m))
  },
  // Sends a message of an extension to all peers.
  async extension (m) {
    extension(m).broadcast(Buffer.from(m.message, 'hex'))
    return {}
  },
  // Listens to an extension.
  async hear (m) {
    extension(m)
    return {}
  },
  // Blocks that nobody asked for, which version 11 has.
  async push (m) {
    await core(m).replicator.push(m.index)
    return {}
  },
  async allowPush (m) {
    core(m).replicator.setAllowPush(m.allow)
    return {}
  },
  async beePut (m) {
    const Hyperbee = need('hyperbee')
    bee = new Hyperbee(core(m), { keyEncoding: 'utf-8', valueEncoding: 'utf-8' })
    const batch = bee.batch()
    for (const [key, value] of m.entries) await batch.put(key, value)
    await batch.flush()
    return facts(core(m))
  },
  // All entries, once the log has that length.
  async beeEntries (m) {
    const Hyperbee = need('hyperbee')
    await ops.waitFor(m)
    bee = new Hyperbee(core(m), { keyEncoding: 'utf-8', valueEncoding: 'utf-8' })
    const entries = []
    for await (const { key, value } of bee.createReadStream()) entries.push([key, value])
    return { entries }
  },
  async beeGet (m) {
    const found = await bee.get(m.key)
    return { value: found && found.value }
  },
  // A drive with files of these sizes. Its two logs are replicated like those that are opened.
  async driveWrite (m) {
    const Hyperdrive = need('hyperdrive')
    const Corestore = need('corestore')
    drive = new Hyperdrive(new Corestore(m.dir))
    const files = {}
    for (const [path, size] of Object.entries(m.files)) {
      await drive.put(path, content(path, size))
      files[path] = digest(content(path, size))
    }
    const blobs = (await drive.getBlobs()).core
    cores.set('metadata', drive.core)
    cores.set('blobs', blobs)
    return { key: hex(drive.key), blobsKey: hex(blobs.key), length: drive.core.length, blobsLength: blobs.length, files }
  },
  // A drive of which nothing is known but the key. Its logs are replicated as they are opened.
  async driveOpen (m) {
    const Hyperdrive = need('hyperdrive')
    const Corestore = need('corestore')
    store = new Corestore(m.dir)
    drive = new Hyperdrive(store, bytes(m.key))
    await drive.ready()
    return {}
  },
  async driveRead () {
    await drive.update({ wait: true })
    const files = {}
    for await (const { key } of drive.list('/')) files[key] = digest(await drive.get(key))
    return { files }
  },
  // Replicates a core over the connections that there are.
  async join (m) {
    for (const stream of sockets.values()) core(m).replicate(stream)
    return {}
  },
  // Sessions that are closed while they get a block: how many got it, how many were told that they are closed.
  async sessions (m) {
    let met = 0
    let closed = 0
    for (let i = 0; i < m.count; i++) {
      const session = core(m).session()
      await session.ready()
      const get = session.get(i % m.blocks).then(
        () => { met++ },
        (error) => {
          if (error.code !== 'SESSION_CLOSED' && error.code !== 'REQUEST_CANCELLED') throw error
          closed++
        }
      )
      if (i % 3 === 0) await new Promise(setImmediate)
      await session.close()
      await get
    }
    return { met, closed }
  },
  // Asks every peer for what no log of that length can answer, under these numbers; says what is refused.
  async nonsense (m) {
    const kinds = [
      { upgrade: { start: m.length - 10, length: 20 } },
      { upgrade: { start: m.length / 2, length: 0 } },
      { block: { index: 3, nodes: 60 } },
      {
        block: { index: m.length - 1, nodes: 0 },
        seek: { bytes: 100, padding: 0 },
        upgrade: { start: m.length / 2, length: m.length / 2 }
      }
    ]
    for (const peer of core(m).peers) {
      peer.onnodata = ({ request, reason }) => say({ event: 'refused', id: request, reason })
      for (let id = m.from; id < m.to; id++) {
        const nothing = { block: null, hash: null, seek: null, upgrade: null, manifest: false, priority: 0 }
        peer.wireRequest.send({ id, fork: core(m).fork, ...nothing, ...kinds[id % 4] })
      }
    }
    return {}
  },
  // Connects and opens the channel of a log without knowing its key; says how many messages it heard.
  async forge (m) {
    const SecretStream = need('@hyperswarm/secret-stream')
    const { wire } = need((process.argv[2] === '10' ? 'hypercore10' : 'hypercore') + '/lib/messages')
    const stream = new SecretStream(true, net.connect(m.port, '127.0.0.1'))
    let heard = 0
    const onmessage = () => { heard++ }
    stream.on('error', () => {})
    stream.on('close', () => say({ event: 'forged', heard }))
    const channel = Protomux.from(stream).createChannel({
      protocol: 'hypercore/alpha',
      aliases: ['hypercore'],
      id: bytes(m.discoveryKey),
      handshake: wire.handshake,
      messages: Array(10).fill({ encoding: need('compact-encoding').raw, onmessage })
    })
    stream.once('open', () => channel.open({ seeks: true, capability: Buffer.alloc(32, 7) }))
    return {}
  },
  // Opens a channel of another protocol on each connection.
  async channel (m) {
    for (const stream of sockets.values()) {
      const channel = Protomux.from(stream.noiseStream).createChannel({
        protocol: m.protocol,
        onopen: () => say({ event: 'channel-opened', protocol: m.protocol }),
        onclose: () => say({ event: 'channel-closed', protocol: m.protocol })
      })
      channel.open()
    }
    return {}
  },
  async wire () {
    return wire
  },
  async stats (m) {
    const c = core(m)
    return { stats: c.replicator ? c.replicator.stats : null, peers: c.peers.map((p) => p.stats || null) }
  },
  async close (m) {
    await core(m).close()
    cores.delete(m.core || 'main')
    named.delete(m.core)
    return {}
  },
  async exit () {
    for (const s of sockets.keys()) s.destroy()
    if (server) server.close()
    for (const c of cores.values()) await c.close()
    if (store) await store.close()
    setImmediate(() => process.exit(0))
    return {}
  }
}

process.on('unhandledRejection', (error) => say({ event: 'unhandled', message: String(error && error.stack) }))

readline.createInterface({ input: process.stdin }).on('line', async (line) => {
  const m = JSON.parse(line)
  try {
    say({ id: m.id, ok: await ops[m.op](m) })
  } catch (error) {
    say({ id: m.id, error: error.message, code: error.code || null })
  }
}).on('close', () => process.exit(0))
