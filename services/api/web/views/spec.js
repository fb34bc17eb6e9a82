// A DAG's text: read, checked while it is written, saved only over the text that was read, and kept until then.

import { ApiError, get, request, send } from "../api.js";
import { ask } from "../dialog.js";
import { h, patch } from "../dom.js";
import { draft, drop, keep } from "../drafts.js";
import { choice, openChanges, openEditor } from "../editor.js";
import { toast } from "../notice.js";
import { Preview } from "../plan_preview.js";
import { may } from "../session.js";

const CHECK_MS = 400;
const AGAIN_MS = 3000;

export function spec(page, state) {
  let view;
  return {
    load: async () => {},
    follow: (details) => view?.follow(details),
    draw: () => h("section", { key: "spec", mount: (root) => {
      const begun = view = new SpecView(root, page, state);
      view.begin();
      return () => begun.end();
    } }),
  };
}

class SpecView {
  constructor(root, page, state) {
    Object.assign(this, { root, page, state, saved: "", tag: "", replaced: "", errors: [] });
  }

  async begin() {
    this.preview = new Preview();
    this.problems = h("div", { "aria-live": "polite" });
    this.bar = h("div", { class: "actions sticky" });
    this.root.append(this.problems, this.bar, this.preview.root);
    await this.open("");
    if (this.ended) return;
    // What is not read yet cannot be changed: it would be saved in the place of all that there is.
    this.editor.root.hidden = true;
    const unread = (text) => patch(this.problems, h("p", { class: "error call" }, `The spec cannot be read now: ${text}. Trying again…`));
    while (!this.ended && !await this.read(unread)) await new Promise((resolve) => { setTimeout(resolve, AGAIN_MS); });
    if (this.ended) return;
    this.editor.root.hidden = false;
    if (this.page.place.query.line) this.editor.showLine(Number(this.page.place.query.line));
  }

  /** Put an editor with this text in the place of the present one. */
  async open(text) {
    const readonly = !may("manager");
    const editor = await openEditor({
      label: `Spec of ${this.state.file}`, readonly, changed: () => this.changed(), save: () => readonly || this.save(),
    });
    if (this.ended) return editor.end();
    this.end(false);
    this.editor = editor;
    editor.text = text;
    editor.mark(this.errors);
    this.root.append(editor.root);
  }

  end(ended = true) {
    this.ended = ended;
    this.editor?.end();
    this.editor?.root.remove();
  }

  async turn() {
    choice.plain = !choice.plain;
    await this.open(this.editor.text);
    this.draw();
  }

  /** The tag of the saved text that this one was made from; that of what it replaces, while its own is not known. */
  get base() {
    return this.tag || this.replaced;
  }

  get dirty() {
    return this.editor.text !== this.saved;
  }

  /** Show the text as it is saved, or what was made of it here and not saved yet. Returns whether it could be read. */
  async read(say) {
    const { file } = this.state;
    try {
      this.take(await this.stored());
      const mine = may("manager") && draft(file);
      if (!mine) return true;
      // Made from an older text, perhaps: that is asked about when it is saved.
      this.tag = mine.tag;
      this.editor.text = mine.text;
      this.changed();
      return true;
    } catch (error) {
      if (error.status === 404 && this.resume()) return true;
      this.trouble(error, say);
      return false;
    }
  }

  /** Return the text as it is saved, with its errors and its tag. */
  async stored(signal = this.page.signal) {
    const response = await request("GET", `${this.state.where}/spec`, { signal });
    const { spec: text, errors } = await response.json();
    // As an editor has it, with LF at the end of each line.
    return { text: text.replace(/\r\n?/g, "\n"), errors, tag: response.headers.get("ETag") ?? "" };
  }

  take({ text, errors, tag }) {
    Object.assign(this, { tag, replaced: "", newer: false });
    this.editor.text = this.saved = text;
    this.judge(errors);
  }

  /** Show what others have saved since, or say so if there is an unsaved text here. */
  async follow({ specHash }) {
    const { saved } = this;
    const known = `"${specHash}"`;
    // It is not read yet, or accepted and not saved yet; or a remote node answers that does not tell.
    if (!this.base || !specHash || (!this.tag && known === this.replaced)) return;
    // The text may be large, so it is read only if it is another one.
    const now = this.tag === known ? this : await this.stored(this.page.wanted);
    // It was saved here meanwhile.
    if (this.ended || this.saving || this.saved !== saved) return;
    // What was accepted is saved now, unless somebody else's text is there: then that is asked about.
    this.tag ||= now.text === saved ? now.tag : this.replaced;
    this.newer = now.tag !== this.tag;
    if (this.newer && [saved, now.text].includes(this.editor.text)) {
      drop(this.state.file);
      this.take(now);
    } else this.draw();
  }

  /** Show the text that was not saved of a DAG that does not exist any more. Returns whether there is one. */
  resume() {
    const mine = may("manager") && draft(this.state.file);
    if (!mine) return false;
    this.saved = "";
    // Somebody may create the DAG again before this text is saved.
    this.tag = mine.tag;
    this.editor.text = mine.text;
    this.changed();
    return true;
  }

  async undo() {
    drop(this.state.file);
    // The page says then that there is no such DAG.
    if (this.state.gone) await this.page.refresh();
    else await this.read();
  }

  changed() {
    if (this.dirty) keep(this.state.file, this.editor.text, this.base);
    else drop(this.state.file);
    this.draw();
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.check(), CHECK_MS);
  }

  async check() {
    if (this.ended) return;
    clearTimeout(this.timer);
    const text = this.editor.text;
    try {
      const { errors, dag, nextFires } = await send("POST", "dags/validate", { spec: text, name: this.state.file });
      if (text !== this.editor.text) return;
      this.judge(errors);
      this.preview.show(dag, nextFires ?? []);
    } catch (error) {
      // The banner says that the gateway is away.
      if (error.passing) this.timer = setTimeout(() => this.check(), AGAIN_MS);
      else this.trouble(error);
    }
  }

  judge(errors) {
    this.errors = errors;
    this.editor.mark(errors);
    patch(this.problems, errors.length > 0 && h("ul", { class: "error call problems" }, errors.map((each) =>
      h("li", { key: each }, h("button", { type: "button", class: "plain mono", onclick: () => this.editor.show(each) }, each)))));
    this.draw();
  }

  draw() {
    // Not `disabled`: that would take the focus away from who saves with the keyboard.
    patch(this.bar,
      may("manager") && h("button", { type: "button", class: "primary", "aria-disabled": (!this.dirty || this.saving) && "true", title: "Ctrl+S",
        onclick: () => this.save() }, "Save"),
      this.dirty && choice.offered && h("button", { type: "button", onclick: () => this.review() }, "Show changes"),
      this.dirty && h("button", { type: "button", onclick: () => this.undo() }, "Undo all"),
      this.dirty && h("span", { class: "faint" }, "Not saved"),
      this.dirty && this.newer && h("span", { class: "reason" }, "Somebody else has saved another text since you opened it"),
      h("span", { class: "gap" }),
      h("button", { type: "button", "aria-pressed": String(this.preview.open), onclick: () => this.foresee() }, "Preview"),
      choice.offered && h("label", { class: "check" }, h("input", { type: "checkbox", checked: choice.plain, onchange: () => this.turn() }),
        "Plain text field"));
  }

  /** Show or hide the plan of the text as it stands. */
  async foresee() {
    this.preview.open = !this.preview.open;
    if (this.preview.open) await this.check();
    this.preview.draw();
    this.draw();
  }

  /** Show what saving would change, and save it if that is wanted. */
  async review() {
    const changes = await openChanges({ label: "Changes", before: this.saved, after: this.editor.text });
    await ask({ title: `Changes to ${this.state.file}`, fields: [changes], confirm: "Save", wide: true, act: () => this.save() });
  }

  async save(tag = this.tag) {
    const text = this.editor.text;
    if (!this.dirty || this.saving) return;
    this.saving = true;
    this.draw();
    try {
      const response = this.state.gone ? await this.create(text)
        : await request("PUT", `${this.state.where}/spec`, { body: { spec: text }, headers: tag ? { "If-Match": tag } : {} });
      const { errors = [] } = await response.json();
      this.judge(errors);
      if (errors.length) {
        toast("Not saved: the spec has errors.", "error");
        return;
      }
      Object.assign(this, { saved: text, newer: false, replaced: tag || this.replaced, tag: response.headers.get("ETag") ?? "" });
      // It may have been gone on with meanwhile.
      const now = draft(this.state.file)?.text ?? text;
      if (now === text) drop(this.state.file);
      else keep(this.state.file, now, this.base);
      toast(response.status === 202 ? "Accepted, but not saved yet: a scheduler will save it as soon as one runs." : "Saved.");
      await this.page.refresh();
    } catch (error) {
      if (error.status === 412) this.collide();
      else this.trouble(error);
    } finally {
      this.saving = false;
      this.draw();
    }
  }

  async create(text) {
    await send("POST", "dags", { name: this.state.file, spec: text });
    return request("GET", `${this.state.where}/spec`);
  }

  collide() {
    return ask({
      title: "This spec was changed by another user",
      text: "Saving replaces their spec with yours; theirs is kept among the versions. Cancel to continue editing.",
      confirm: "Replace theirs", danger: true,
      act: async () => {
        const response = await get(`${this.state.where}/versions`);
        await this.save(`"${response.versions[0].hash}"`);
      },
    });
  }

  trouble(error, say = (text) => toast(text, "error")) {
    if (this.page.signal.aborted) return;
    if (!(error instanceof ApiError)) throw error;
    say(error.message);
  }
}
