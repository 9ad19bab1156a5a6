// A real Apache Kafka for tests: one KRaft process on free ports in a temporary directory, from the jars of
// tests/brokers/kafka/pom.xml. Nothing is installed: without java or mvn startKafka() throws an error with `skip`.
import { execFile, spawn } from 'node:child_process';
import { createServer, connect } from 'node:net';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { mkdir, mkdtemp, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';

const run = promisify(execFile);
const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const cache = join(root, '.cache', 'kafka');
const pom = join(root, 'tests', 'brokers', 'kafka', 'pom.xml');
const jvm = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1', '-Djava.awt.headless=true', '-Djava.net.preferIPv4Stack=true'];
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

function skipped(message) {
  return Object.assign(new Error(message), { skip: message });
}

async function hasProgram(name) {
  try {
    await run(name, ['--version']);
    return true;
  } catch {
    return false;
  }
}

/** True when the jars are there, or could be fetched by mvn. */
export async function isAvailable() {
  return (await hasProgram('java')) && (existsSync(join(cache, 'lib')) || (await hasProgram('mvn')));
}

/** One process at a time fetches; the others wait for the finished directory. */
async function lockJars() {
  const lock = join(cache, 'lock');
  for (;;) {
    try {
      return { lock, handle: await open(lock, 'wx') };
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
      const age = Date.now() - (await stat(lock).then((s) => s.mtimeMs, () => Date.now()));
      if (age > 300000) await rm(lock, { force: true });
      await sleep(100);
    }
  }
}

/** The directory with the jars; fetched from Maven Central the first time. */
export async function jars() {
  const lib = join(cache, 'lib');
  if (!(await hasProgram('java'))) throw skipped('java is not installed: no Kafka to test with');
  if (existsSync(lib)) return lib;
  if (!(await hasProgram('mvn'))) throw skipped('mvn is not installed and the Kafka jars are not cached');
  await mkdir(cache, { recursive: true });
  const { lock, handle } = await lockJars();
  try {
    if (existsSync(lib)) return lib;
    const part = join(cache, `part-${process.pid}`);
    await run('mvn', ['-B', '-ntp', '-q', 'dependency:copy-dependencies', '-DincludeScope=runtime',
      `-DoutputDirectory=${part}`, '-f', pom]).catch((error) => {
      throw skipped(`the Kafka jars could not be fetched: ${error.message.split('\n')[1] ?? error.message}`);
    });
    await rename(part, lib);
    return lib;
  } finally {
    await handle.close();
    await rm(lock, { force: true });
  }
}

function canListen(port) {
  const server = createServer();
  return new Promise((done) => {
    server.once('error', () => done(false));
    server.listen(port, '127.0.0.1', () => server.close(() => done(true)));
  });
}

/** Below the range the kernel takes ports of outgoing connections from: the port has to be free at a restart too. */
async function freePort() {
  for (;;) {
    const port = 15000 + Math.floor(Math.random() * 17000);
    if (await canListen(port)) return port;
  }
}

/** A SASL_SSL listener with the user `u`, password `p`, and a certificate for 127.0.0.1 by an authority of its own. */
function secureProperties({ dir, port, securePort, controllerPort }) {
  const plain = 'org.apache.kafka.common.security.plain.PlainLoginModule required user_u="p";';
  return {
    listeners: `PLAINTEXT://127.0.0.1:${port},SASL_SSL://127.0.0.1:${securePort},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port},SASL_SSL://127.0.0.1:${securePort}`,
    'sasl.enabled.mechanisms': 'PLAIN',
    'listener.name.sasl_ssl.plain.sasl.jaas.config': plain,
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': join(dir, 'server.pem'),
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': join(dir, 'ca.pem'),
  };
}

async function makeCertificates(dir) {
  const openssl = (...args) => run('openssl', args, { cwd: dir });
  await openssl('req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=test authority',
    '-keyout', 'ca.key', '-out', 'ca.pem');
  await openssl('req', '-newkey', 'rsa:2048', '-nodes', '-subj', '/CN=127.0.0.1', '-keyout', 'server.key', '-out', 'server.csr');
  await writeFile(join(dir, 'san'), 'subjectAltName=IP:127.0.0.1');
  await openssl('x509', '-req', '-in', 'server.csr', '-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2',
    '-extfile', 'san', '-out', 'server.crt');
  const parts = await Promise.all(['server.key', 'server.crt', 'ca.pem'].map((name) => readFile(join(dir, name), 'utf8')));
  await writeFile(join(dir, 'server.pem'), parts.join(''));
}

function properties({ dir, port, securePort, controllerPort, extra }) {
  const secure = securePort ? secureProperties({ dir, port, securePort, controllerPort }) : {};
  return Object.entries({
    'process.roles': 'broker,controller',
    'node.id': 1,
    'controller.quorum.voters': `1@127.0.0.1:${controllerPort}`,
    listeners: `PLAINTEXT://127.0.0.1:${port},CONTROLLER://127.0.0.1:${controllerPort}`,
    'advertised.listeners': `PLAINTEXT://127.0.0.1:${port}`,
    'controller.listener.names': 'CONTROLLER',
    'listener.security.protocol.map':
      'CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,SASL_SSL:SASL_SSL',
    'log.dirs': join(dir, 'data'),
    'num.partitions': 4,
    'num.network.threads': 2,
    'num.io.threads': 2,
    'auto.create.topics.enable': true,
    'controlled.shutdown.enable': false,
    'offsets.topic.num.partitions': 2,
    'offsets.topic.replication.factor': 1,
    'transaction.state.log.num.partitions': 2,
    'transaction.state.log.replication.factor': 1,
    'transaction.state.log.min.isr': 1,
    'group.initial.rebalance.delay.ms': 0,
    'log.segment.bytes': 16777216,
    'log.index.size.max.bytes': 65536,
    'log.cleaner.dedupe.buffer.size': 4194304, // the default of 128 MiB is real heap
    'log.cleaner.backoff.ms': 500,
    'broker.session.timeout.ms': 1000, // with the default every restart on old data takes 16 s
    'broker.heartbeat.interval.ms': 200,
    ...secure,
    ...extra,
  }).map(([name, value]) => `${name}=${value}\n`).join('');
}

const logging = (file) => `log4j.rootLogger=WARN, o
log4j.appender.o=org.apache.log4j.FileAppender
log4j.appender.o.File=${file}
log4j.appender.o.layout=org.apache.log4j.PatternLayout
log4j.appender.o.layout.ConversionPattern=%d %p %c - %m%n
`;

/** Sends ApiVersions (key 18, version 0) and waits for an answer: the port is open before the broker serves. */
function answers(port) {
  return new Promise((done) => {
    const socket = connect(port, '127.0.0.1');
    const finish = (value) => {
      socket.destroy();
      done(value);
    };
    socket.setTimeout(500, () => finish(false));
    socket.on('error', () => finish(false));
    socket.on('close', () => finish(false));
    socket.on('connect', () => socket.write(Buffer.from([0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff])));
    socket.on('data', () => finish(true));
  });
}

class Kafka {
  constructor(fields) {
    Object.assign(this, fields);
    this.bootstrap = `127.0.0.1:${this.port}`;
    this.secureBootstrap = `127.0.0.1:${this.securePort}`;
  }

  java(args, heap) {
    return [`-Xmx${heap}m`, ...jvm, `-Dlog4j.configuration=file:${join(this.dir, 'log4j.properties')}`,
      `-Dkafka.logs.dir=${this.dir}`, '-cp', join(this.lib, '*'), ...args];
  }

  async format() {
    await writeFile(join(this.dir, 'server.properties'), properties(this));
    await writeFile(join(this.dir, 'log4j.properties'), logging(join(this.dir, 'broker.log')));
    if (existsSync(join(this.dir, 'data', 'meta.properties'))) return;
    await run('java', this.java(['kafka.tools.StorageTool', 'format', '-t', this.clusterId, '-c',
      join(this.dir, 'server.properties'), ...this.formatArgs], 64));
  }

  async launch() {
    const output = await open(join(this.dir, 'output.log'), 'a');
    this.child = spawn('java', this.java(['kafka.Kafka', join(this.dir, 'server.properties')], 256),
      { stdio: ['ignore', output.fd, output.fd] });
    this.pid = this.child.pid;
    this.gone = new Promise((done) => this.child.on('exit', (code) => {
      this.child.ended = true;
      done(code);
    }));
    await output.close();
    process.once('exit', this.onExit);
    const end = Date.now() + 60000;
    while (!(await answers(this.port))) {
      if (this.child.ended) throw new Error(`Kafka did not start, see ${this.dir}/output.log and broker.log`);
      if (Date.now() > end) throw new Error(`Kafka did not answer within 60 s, see ${this.dir}`);
      await sleep(50);
    }
    return this;
  }

  onExit = () => this.signal('SIGKILL');

  signal(name) {
    if (this.child && !this.child.ended) this.child.kill(name);
  }

  /** SIGKILL; the data stays. */
  async kill() {
    this.signal('SIGKILL');
    await this.gone;
  }

  /** SIGSTOP: connections stay open and nothing answers. */
  pause() {
    this.signal('SIGSTOP');
    const tasks = `/proc/${this.child.pid}/task`; // threads stop one by one
    const isStopped = (task) => readFileSync(join(tasks, task, 'stat'), 'utf8').split(')').at(-1).startsWith(' T');
    for (let i = 0; i < 1000 && !readdirSync(tasks).every(isStopped); i++);
  }

  cont() {
    this.signal('SIGCONT');
  }

  /** On the same data and ports, after kill() or while it runs. */
  async restart() {
    await this.kill();
    return this.launch();
  }

  /** Ends it and removes its directory, unless the caller gave that. */
  async stop() {
    await this.kill();
    process.removeListener('exit', this.onExit);
    if (this.ownDir) await rm(this.dir, { recursive: true, force: true });
  }

  async admin(command, topic, ...args) {
    const { buildDir } = await import('./probe.mjs');
    await run(join(buildDir, 'tests', 'kafka_admin'), [this.bootstrap, command, topic, ...args.map(String)]);
  }

  /** settings: {name: value} of the topic. */
  createTopic(topic, partitions = 1, settings = {}) {
    return this.admin('create', topic, partitions, ...Object.entries(settings).map(([name, value]) => `${name}=${value}`));
  }

  deleteTopic(topic) {
    return this.admin('delete', topic);
  }

  addPartitions(topic, count) {
    return this.admin('partitions', topic, count);
  }

  /** Deletes the records before `offset`. */
  trim(topic, partition, offset) {
    return this.admin('trim', topic, partition, offset);
  }

  /** transactions('t', 0, 'commit=3', 'abort=2'): one transaction each, of so many records. */
  transactions(topic, partition, ...list) {
    return this.admin('transactions', topic, partition, ...list);
  }
}

/** Options: dir (kept by stop(); data in it is used again), port, properties {name: value}, formatArgs, secure (a
 * second listener with TLS and SASL PLAIN: secureBootstrap, user `u`, password `p`, authority in dir/ca.pem). */
export async function startKafka(options = {}) {
  const lib = await jars();
  const dir = options.dir ?? (await mkdtemp(join(tmpdir(), 'crier-kafka-')));
  await mkdir(dir, { recursive: true });
  const kafka = new Kafka({
    lib,
    dir,
    ownDir: !options.dir,
    port: options.port ?? (await freePort()),
    controllerPort: await freePort(),
    securePort: options.secure ? await freePort() : 0,
    clusterId: 'MkU3OEVBNTcwNTJENDM2Qk',
    extra: options.properties ?? {},
    formatArgs: options.formatArgs ?? [],
  });
  if (options.secure) await makeCertificates(dir);
  await kafka.format();
  return kafka.launch();
}
