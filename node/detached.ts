// Bytes whose memory was handed to another thread (`postMessage`, `structuredClone` with `transfer`): they look as if they had none. Pure.

/** Whether memory was transferred. Only Node 22 and newer have a property that says so. */
export function isDetached(memory: ArrayBufferLike): boolean {
  if (memory.byteLength > 0) return false;
  try {
    new Uint8Array(memory);
    return false;
  } catch {
    return true;
  }
}
