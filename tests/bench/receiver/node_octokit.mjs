// GitHub's own middleware in front of Redis: what a team on Node would write.
// NODE_PATH does not work for modules, so the packages come from BENCH_WORK.
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';

const work = process.env.BENCH_WORK;
const load = (name) => import(pathToFileURL(createRequire(`${work}/package.json`).resolve(name)));
const { default: Redis } = await load('ioredis');
const octokit = `${work}/node_modules/@octokit/webhooks/dist-bundle/index.js`;
const { Webhooks, createNodeMiddleware } = await import(pathToFileURL(octokit));

const redis = new Redis(process.env.BENCH_REDIS, { enableAutoPipelining: true });
const webhooks = new Webhooks({ secret: process.env.BENCH_SECRET });
webhooks.on('workflow_run', ({ id, payload }) => {
  const run = payload.workflow_run;
  return redis.xadd('bench:events', '*', 'delivery', id, 'repo', payload.repository.full_name,
    'repo_id', payload.repository.id, 'run_id', run.id, 'generation', run.run_attempt,
    'status', run.status, 'conclusion', run.conclusion ?? '');
});

const server = createServer(createNodeMiddleware(webhooks, { path: '/webhooks/github' }));
server.listen(0, '127.0.0.1', () => console.log(`ready http://127.0.0.1:${server.address().port}`));
