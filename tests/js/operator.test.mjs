import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { APPLIED, operatorSet, REJECTED, settled, TOKEN } from './support/fake_admin.mjs';

const reloadsWith = (standing, reloads, refused = []) => ({
  json: { generation: 8, last_reload_successful: standing === null, standing, refused, reloads },
});

/** An operator whose token was accepted. */
async function signedIn(options) {
  const set = operatorSet(options);
  set.operator.signIn(TOKEN);
  await settled();
  assert.equal(set.operator.phase, 'in');
  return set;
}

describe('what the server says', () => {
  test('is read field by field', async () => {
    const { admin, api } = operatorSet();
    admin.answers('GET /v1/reloads', reloadsWith(REJECTED, [REJECTED, APPLIED]));
    const { generation, standing, attempts } = await api.reloads();
    assert.equal(generation, 8);
    assert.deepEqual(standing.faults, REJECTED.faults);
    assert.deepEqual(attempts.map(({ number, outcome }) => [number, outcome]), [[3, 'rejected'], [2, 'applied']]);
    assert.deepEqual(attempts[1].changes, [{ key: 'capture.jpeg_quality', from: 50, to: 40, origin: 'profiles/lan.toml:4' }]);
    assert.equal(attempts[1].tookMillis, 23.1);
  });

  test('may be of any JSON, or of none, for the values that changed', async () => {
    const { admin, api } = operatorSet();
    const changes = [{ key: 'modes.x', from: null, to: { model: 'm' }, origin: '' }, { key: 'security.allowed_origins', from: ['*'] }];
    admin.answers('GET /v1/reloads', reloadsWith(null, [{ ...APPLIED, changes }]));
    const [{ changes: read }] = (await api.reloads()).attempts;
    assert.deepEqual(read[0].to, { model: 'm' });
    assert.deepEqual(read[1], { key: 'security.allowed_origins', from: ['*'], to: null, origin: '' });
  });

  const nonsense = [
    ['is no JSON', { text: '<h1>Bad gateway</h1>' }],
    ['is no object', { json: 7 }],
    ['lacks a field', { json: { reloads: [] } }],
    ['has an attempt that is none', { json: { generation: 8, standing: null, reloads: ['applied'] } }],
  ];
  for (const [name, answer] of nonsense) {
    test(`is refused when it ${name}`, async () => {
      const { admin, api } = operatorSet();
      admin.answers('GET /v1/reloads', answer);
      await assert.rejects(api.reloads(), { problem: 'unexpected' });
    });
  }

  test('is a problem with a name when it is a refusal', async () => {
    const { admin, api } = operatorSet();
    await assert.rejects(api.admin('not the token'), { problem: 'unauthorized' });
    admin.answers('GET /v1/admin', { status: 403, json: { code: 'admin_off', message: 'set security.admin_token' } });
    await assert.rejects(api.admin(TOKEN), { problem: 'admin_off', message: 'set security.admin_token' });
    admin.answers('GET /v1/admin', { status: 502, text: 'Bad gateway' });
    await assert.rejects(api.admin(TOKEN), { problem: 'unexpected', message: 'status 502' });
    admin.answers('POST /v1/admin/profile', { status: 404, json: { code: 'unknown_profile', message: 'there is no profile "x"' } });
    await assert.rejects(api.useProfile(TOKEN, 'x'), { problem: 'unknown_profile', message: 'there is no profile "x"' });
    admin.answers('POST /v1/admin/profile', { status: 503, json: { code: 'stopping', message: 'the server is stopping' } });
    await assert.rejects(api.useProfile(TOKEN, 'x'), { problem: 'refused', message: 'the server is stopping' });
    admin.isAway = true;
    await assert.rejects(api.admin(TOKEN), { problem: 'unreachable' });
  });

  test('is waited for ten seconds, and what a change became three minutes', async () => {
    const { clock, admin, api } = operatorSet();
    admin.hold();
    const asked = assert.rejects(api.reloads(), { problem: 'unreachable' });
    let isDone = false;
    const changing = assert.rejects(api.readAgain(TOKEN), { problem: 'unreachable' }).then(() => (isDone = true));
    clock.advance(10_000);
    await asked;
    await settled();
    assert.equal(isDone, false);
    clock.advance(170_000);
    await changing;
  });

  test('of a change is the attempt, applied or not', async () => {
    const { admin, api } = operatorSet();
    assert.equal((await api.useProfile(TOKEN, 'mobile')).outcome, 'applied');
    assert.deepEqual(admin.requests[0], { method: 'POST', path: '/v1/admin/profile', token: TOKEN, body: { profile: 'mobile' } });
    admin.answers('POST /v1/admin/reload', { status: 422, json: { code: 'rejected', message: 'faults', attempt: REJECTED } });
    assert.deepEqual((await api.readAgain(TOKEN)).faults, REJECTED.faults);
    const superseded = { ...APPLIED, outcome: 'superseded', changes: [] };
    admin.answers('POST /v1/admin/reload', { status: 409, json: { code: 'superseded', message: 'a newer edit came', attempt: superseded } });
    assert.equal((await api.readAgain(TOKEN)).outcome, 'superseded');
  });

  test('a token that no header can carry is not sent', async () => {
    const { admin, api } = operatorSet();
    for (const token of ['schlüssel', 'two\nlines', '']) await assert.rejects(api.admin(token), { problem: 'unauthorized' });
    assert.equal(admin.requests.length, 0);
  });
});

describe('the token', () => {
  test('without one nothing is asked', async () => {
    const { clock, admin, operator } = operatorSet();
    operator.open();
    clock.advance(10_000);
    operator.refresh();
    operator.readAgain();
    await settled();
    assert.equal(operator.phase, 'out');
    assert.equal(admin.requests.length, 0);
  });

  test('is remembered when the server accepted it, and never before', async () => {
    const { admin, tokens, operator } = operatorSet();
    const release = admin.hold();
    operator.signIn(`  ${TOKEN}\n`);
    await settled();
    assert.equal(operator.phase, 'asking');
    assert.equal(tokens.token, null);
    release();
    await settled();
    assert.equal(operator.phase, 'in');
    assert.equal(tokens.token, TOKEN);
    assert.deepEqual(operator.admission, { profile: 'lan', profiles: ['base', 'lan', 'mobile'] });
  });

  test('a wrong one is let go, and said', async () => {
    const { clock, admin, tokens, operator } = operatorSet();
    operator.signIn('wrong');
    await settled();
    assert.equal(operator.phase, 'out');
    assert.equal(operator.problem.problem, 'unauthorized');
    assert.equal(tokens.token, null);
    clock.advance(10_000);
    await settled();
    assert.equal(admin.countOf('/v1/admin'), 1);
  });

  test('is taken up where it is remembered, also by a page whose server is away', async () => {
    const { clock, admin, operator } = operatorSet({ remembered: TOKEN });
    admin.isAway = true;
    operator.open();
    await settled();
    assert.equal(operator.phase, 'asking');
    assert.equal(operator.problem.problem, 'unreachable');
    admin.isAway = false;
    clock.advance(2000);
    await settled();
    assert.equal(operator.phase, 'in');
    assert.equal(operator.problem, null);
  });

  test('is given up when the server takes it no more', async () => {
    const { clock, admin, tokens, operator } = await signedIn();
    admin.answers('GET /v1/admin', { status: 403, json: { code: 'admin_off', message: 'no token is set' } });
    clock.advance(2000);
    await settled();
    assert.equal(operator.phase, 'out');
    assert.equal(operator.problem.message, 'no token is set');
    assert.equal(tokens.token, null);
  });

  test('is forgotten when told to, with all that it showed', async () => {
    const { clock, admin, tokens, operator } = await signedIn();
    const release = admin.hold();
    operator.refresh();
    operator.readAgain();
    operator.forget();
    release();
    await settled();
    clock.advance(10_000);
    await settled();
    assert.equal(operator.phase, 'out');
    assert.deepEqual([tokens.token, operator.reloads, operator.standing, operator.outcome, operator.deed], [null, null, null, null, null]);
    assert.equal(admin.countOf('/v1/reloads'), 2);
  });

  test('of a page that was left is asked about again when it comes back', async () => {
    const { operator, tokens } = await signedIn();
    operator.close();
    assert.equal(operator.phase, 'out');
    assert.equal(tokens.token, TOKEN);
    operator.open();
    await settled();
    assert.equal(operator.phase, 'in');
  });
});

describe('the news', () => {
  test('comes every two seconds, and not while the page is out of sight', async () => {
    const { clock, admin, operator } = await signedIn();
    for (let round = 0; round < 5; round += 1) {
      clock.advance(2000);
      await settled();
    }
    assert.equal(admin.countOf('/v1/reloads'), 6);
    operator.setVisible(false);
    clock.advance(20_000);
    await settled();
    assert.equal(admin.countOf('/v1/reloads'), 6);
    operator.setVisible(true);
    await settled();
    assert.equal(admin.countOf('/v1/reloads'), 7);
  });

  test('is asked for once more when something happened while an answer was on its way', async () => {
    const { admin, operator } = await signedIn();
    const release = admin.hold();
    operator.refresh();
    operator.refresh();
    operator.refresh();
    await settled();
    assert.equal(admin.countOf('/v1/reloads'), 2);
    release();
    await settled();
    assert.equal(admin.countOf('/v1/reloads'), 3);
  });

  test('a rejected edit stands until it is mended', async () => {
    const { clock, admin, operator } = await signedIn();
    assert.equal(operator.standing, null);
    admin.answers('GET /v1/reloads', reloadsWith(REJECTED, [REJECTED, APPLIED]));
    clock.advance(2000);
    await settled();
    assert.deepEqual(operator.standing.faults, REJECTED.faults);
    admin.isAway = true;
    clock.advance(2000);
    await settled();
    assert.equal(operator.problem.problem, 'unreachable');
    assert.ok(operator.standing, 'a server that is away mends nothing');
    admin.isAway = false;
    admin.answers('GET /v1/reloads', reloadsWith(null, [{ ...APPLIED, number: 4 }, REJECTED, APPLIED]));
    clock.advance(2000);
    await settled();
    assert.equal(operator.standing, null);
    assert.equal(operator.problem, null);
  });
});

describe('deeds', () => {
  test('another profile is used, and the news asked for at once', async () => {
    const { admin, operator } = await signedIn();
    const release = admin.hold();
    const using = operator.useProfile('mobile');
    assert.equal(operator.deed, 'use');
    operator.readAgain();
    assert.equal(admin.countOf('/v1/admin/reload'), 0, 'one deed at a time');
    release();
    await using;
    await settled();
    assert.equal(operator.deed, null);
    assert.equal(operator.outcome.profile, 'mobile');
    assert.equal(admin.countOf('/v1/reloads'), 2);
  });

  test('what was rejected is told with its faults', async () => {
    const { admin, operator } = await signedIn();
    admin.answers('POST /v1/admin/reload', { status: 422, json: { code: 'rejected', message: 'faults', attempt: REJECTED } });
    await operator.readAgain();
    assert.equal(operator.outcome.outcome, 'rejected');
    assert.deepEqual(operator.outcome.faults, REJECTED.faults);
    admin.answers('POST /v1/admin/reload', { json: { ...APPLIED, number: 5 } });
    await operator.readAgain();
    assert.equal(operator.outcome.outcome, 'applied');
  });

  test('what became of a deed is told until something newer happened', async () => {
    const { clock, admin, operator } = await signedIn();
    await operator.readAgain();
    await settled();
    assert.equal(operator.outcome.outcome, 'unchanged');
    admin.answers('GET /v1/reloads', reloadsWith(null, [{ ...APPLIED, number: 5 }, APPLIED]));
    clock.advance(2000);
    await settled();
    assert.equal(operator.outcome, null);
  });

  test('a profile that is gone is said, and the token stays', async () => {
    const { admin, operator } = await signedIn();
    admin.answers('POST /v1/admin/profile', { status: 404, json: { code: 'unknown_profile', message: 'there is no profile "x"' } });
    await operator.useProfile('x');
    assert.equal(operator.outcome.problem, 'unknown_profile');
    assert.equal(operator.phase, 'in');
  });

  test('a token that is refused ends it', async () => {
    const { admin, operator } = await signedIn();
    admin.answers('POST /v1/admin/reload', { status: 401, json: { code: 'unauthorized', message: '' } });
    await operator.readAgain();
    assert.equal(operator.phase, 'out');
    assert.equal(operator.problem.problem, 'unauthorized');
    assert.equal(operator.deed, null);
  });
});
