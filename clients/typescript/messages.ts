// Compiles only if the types say what the API does. It is never run.
import type { operations } from "generated/messages";

type Message = operations["post_message"]["requestBody"]["content"]["application/json"];
type Found = operations["get_message"]["responses"][200]["content"]["application/json"];
type NotFound = operations["delete_message"]["responses"][404]["content"]["application/json"];

export const message: Message = { message: "foo" };
// @ts-expect-error message is missing
export const empty: Message = {};

export const text = (found: Found): string => found.message;
export const reason = (notFound: NotFound): string => notFound.err_msg;
