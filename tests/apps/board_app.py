"""A board as users write one in Flask, to be run under gunicorn with threads: log in, post notes, list them.

`/held` answers like `/notes`, but looks first and then waits until `/release` is asked for: a slow page whose
content is from before whatever happens meanwhile.
"""

import threading

from flask import Flask, Response, jsonify, redirect, request, session

app = Flask(__name__)
app.secret_key = "not a secret: this app holds nothing"

_notes: list[tuple[str, str]] = []
_holding = threading.Semaphore(0)
_release = threading.Event()


@app.get("/")
def home() -> str:
    """Greet."""
    return f"hello {session.get('user', 'stranger')}"


@app.post("/login")
def login() -> Response:
    """Begin a session."""
    session["user"] = request.form["user"]
    return redirected("/notes")


@app.post("/logout")
def logout() -> Response:
    """End the session; its cookie is taken back."""
    session.clear()
    return redirected("/")


@app.post("/notes")
def post() -> Response:
    """Add a note."""
    _notes.append((session["user"], request.form["text"]))
    return redirected("/notes")


@app.get("/notes")
def notes() -> Response:
    """List the user's own notes."""
    return _listed()


@app.get("/held")
def held() -> Response:
    """List them as they were when the request came, once `/release` was asked for."""
    answer = _listed()
    _holding.release()
    _release.wait(60)
    return answer


@app.post("/holding")
def holding() -> str:
    """Answer when somebody is held."""
    _holding.acquire(timeout=60)
    return "yes"


@app.post("/release")
def release() -> str:
    """Let those go who are held, and hold nobody any more."""
    _release.set()
    return "done"


def _listed() -> Response:
    user = session.get("user", "")
    return jsonify(user=user, notes=[text for author, text in _notes if author == user])


def redirected(target: str) -> Response:
    """Redirect as after a form."""
    answer = redirect(target, 303)
    return Response(status=answer.status_code, headers={"Location": target})
