// Browsers start no worker for a page that was opened from a folder. The search then runs in a hidden frame.
if (location.protocol === "file:") {
  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      const frame = document.createElement("iframe");
      frame.hidden = true;
      document.body.append(frame);
      this.frame = frame;
      this.waiting = [];
      const inner = frame.contentWindow;
      inner.postMessageToPage = (data) => this.answer(data);
      inner.importScripts = (...scripts) => scripts.reduce((before, script) =>
        before.then(() => this.load(script)), Promise.resolve());
      inner.postMessage = (data) => inner.postMessageToPage(data);
      this.load(url).then(() => {
        this.ready = true;
        this.waiting.splice(0).forEach((data) => this.deliver(data));
      });
    }

    load(url) {
      const page = this.frame.contentDocument;
      const script = page.createElement("script");
      script.src = url;
      page.body.append(script);
      return new Promise((resolve, reject) => { script.onload = resolve; script.onerror = reject; });
    }

    answer(data) {
      const event = new MessageEvent("message", { data });
      this.dispatchEvent(event);
      if (this.onmessage) this.onmessage(event);
    }

    deliver(data) {
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }

    postMessage(data) {
      if (this.ready) this.deliver(data);
      else this.waiting.push(data);
    }

    terminate() { this.frame.remove(); }
  };
}
