/**
 * Talks with the worker: one drawing is read at a time, and of those that come meanwhile only the newest. If reading
 * takes long, the worker may be asked to leave it and read the newest.
 */

const PATIENCE = 100; // milliseconds

export class Reader {
  /**
   * @param {object} model from the page's data
   * @param {{ready, answer, predictions, traced, failed}} listeners functions that take the worker's messages
   */
  constructor(model, listeners) {
    this.listeners = listeners;
    this.newest = 0; // number of the newest request
    this.reading = 0; // number of the request that the worker is at; 0 if it is idle
    this.since = 0; // when it was sent
    this.next = null;
    try {
      const source = document.getElementById("worker").textContent;
      const address = URL.createObjectURL(new Blob([source], { type: "text/javascript" }));
      this.worker = new Worker(address);
      this.worker.onmessage = ({ data }) => this.take(data);
      this.worker.onerror = (event) => listeners.failed(event.message);
      this.worker.postMessage({ type: "load", model });
    } catch (error) {
      listeners.failed(error.message);
    }
  }

  /**
   * Ask for an answer.
   *
   * @param {() => object} prepare makes the request's `drawing` or `image`, when its turn has come
   */
  read(prepare) {
    this.next = prepare;
    if (!this.reading || performance.now() - this.since > PATIENCE) this.send();
  }

  send() {
    const prepare = this.next;
    this.next = null;
    if (!prepare || !this.worker) return;
    this.newest += 1;
    this.reading = this.newest;
    this.since = performance.now();
    this.worker.postMessage({ type: "read", id: this.newest, ...prepare() });
  }

  /** Whether a message belongs to the newest drawing. */
  isNewest(message) {
    return message.id === this.newest && !this.next;
  }

  take(message) {
    if (message.type === "ready") this.listeners.ready();
    if (message.type === "answer") {
      if (message.id === this.reading) this.reading = 0;
      this.listeners.answer(message);
      if (!this.reading) this.send();
    }
    if (message.type === "predictions" && this.isNewest(message)) {
      this.listeners.predictions(message);
      this.worker.postMessage({ type: "trace", id: message.id });
    }
    if (message.type === "traced" && this.isNewest(message)) this.listeners.traced(message);
  }
}
