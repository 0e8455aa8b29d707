// Sends operations: what comes back is data, a refusal of the domain, or a failure of the request.
import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { TypedDocumentString } from './generated.js';

/** An entry of `errors[]`: the request failed, wholly or in part. */
interface GraphqlError {
  message: string;
  extensions?: { code?: string; retryable?: boolean; correlationId?: string };
}

/** An entry of `userErrors`: the domain says no, and nothing was changed. */
interface UserError {
  code: string;
  field?: string[] | null;
  message: string;
  retryable: boolean;
}

/** The request failed: its own fault, the token's, or the service's. `code` tells which. */
export class RequestFailed extends Error {
  readonly code: string;
  readonly retryable: boolean;
  /** For a question to the operators: it finds the request in their logs. */
  readonly correlationId: string | undefined;

  constructor({ message, extensions = {} }: GraphqlError) {
    super(message);
    this.code = extensions.code ?? 'INTERNAL';
    this.retryable = extensions.retryable ?? false;
    this.correlationId = extensions.correlationId;
  }
}

/** The domain says no. */
export class Refused extends Error {
  readonly code: string;
  readonly field: string;

  constructor({ code, field, message }: UserError) {
    super(message);
    this.code = code;
    this.field = field?.join('.') ?? '';
  }
}

/** The payload of a mutation that was done. */
export function done<P extends { userErrors: UserError[] }>(payload: P): P {
  const [refusal] = payload.userErrors;
  if (refusal) throw new Refused(refusal);
  return payload;
}

/** The object of a payload, which is there unless the mutation was refused. */
export function given<T>(object: T | null | undefined): T {
  if (object == null) throw new Error('the payload has neither an object nor a refusal');
  return object;
}

const ATTEMPTS = 4;
const FIRST_PAUSE_MS = 100;

export class Client {
  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly say: (line: string) => void,
  ) {}

  /** Reads. What may succeed later is tried again: reading twice harms nobody. */
  query<R, V>(document: TypedDocumentString<R, V>, variables: V): Promise<R> {
    return this.send(document, variables);
  }

  /** Writes. Every attempt has the same key, so whatever became of one, it happens once. */
  mutate<R, I extends { idempotencyKey?: unknown }>(
    document: TypedDocumentString<R, { input: I }>,
    input: Omit<I, 'idempotencyKey'>,
  ): Promise<R> {
    const once = { ...input, idempotencyKey: randomUUID() } as unknown as I;
    return this.send(document, { input: once });
  }

  private async send<R, V>(document: TypedDocumentString<R, V>, variables: V): Promise<R> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.once(document, variables);
      } catch (error) {
        if (!(error instanceof RequestFailed) || !error.retryable || attempt === ATTEMPTS) throw error;
        this.say(`${error.code}: trying again`);
        // Longer each time, and never in step with others.
        await pause(FIRST_PAUSE_MS * 2 ** (attempt - 1) * (0.5 + Math.random()));
      }
    }
  }

  private async once<R, V>(document: TypedDocumentString<R, V>, variables: V): Promise<R> {
    const answer = await fetch(this.url, {
      method: 'POST',
      headers: {
        accept: 'application/graphql-response+json, application/json;q=0.9',
        authorization: `Bearer ${this.token}`,
        'content-type': 'application/json',
      },
      body: JSON.stringify({ query: document.toString(), variables }),
      signal: AbortSignal.timeout(15_000),
    });
    // Errors are in the body, whatever the status says.
    const { data, errors } = (await answer.json()) as { data?: R | null; errors?: GraphqlError[] };
    const [error] = errors ?? [];
    if (error) throw new RequestFailed(error);
    if (data == null) throw new Error(`neither data nor errors, with status ${answer.status}`);
    return data;
  }
}
