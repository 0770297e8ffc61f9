const source = document.getElementById("worker").textContent;
const worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
worker.onmessage = ({ data }) => console.log(JSON.stringify(data));
worker.postMessage({ type: "load", model: JSON.parse(document.getElementById("model").textContent) });
worker.postMessage({ type: "read", id: 1, image: new Uint8Array(784).fill(255, 300, 400) });
