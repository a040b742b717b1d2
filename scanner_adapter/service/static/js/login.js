// Exchange the token for a session cookie that scripts cannot read; the token is kept nowhere.

import { paths, post } from "./api.js";
import { byId, setText } from "./dom.js";

// Only whether to offer a way out; the cookie itself is out of reach.
const MARK = "scanrank-logged-in";

/** @param onLogin called once the service knows this browser; @param onLogout when it forgot it */
export function wireLogin(onLogin, onLogout) {
  const form = byId("login-form");
  const button = form.querySelector("button");
  const out = byId("log-out");
  out.hidden = localStorage.getItem(MARK) === null;

  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = byId("token");
    button.disabled = true;
    setText(byId("login-error"), "");
    try {
      await post(paths.login, { token: field.value.trim() });
      localStorage.setItem(MARK, "yes");
      out.hidden = false;
      field.value = "";
      onLogin();
    } catch (error) {
      setText(byId("login-error"), error.message);
      field.select();
    } finally {
      button.disabled = false;
    }
  });

  out.addEventListener("click", async () => {
    try {
      await post(paths.logout);
    } catch (error) {
      if (error.status !== 401) {
        console.warn(error.message);
        return;
      }
    }
    localStorage.removeItem(MARK);
    out.hidden = true;
    onLogout();
  });
}
