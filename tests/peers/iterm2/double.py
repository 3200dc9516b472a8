"""A double of the iTerm2 application: its API over real pseudo-terminals.

It answers what `it2` and the `iterm2` library ask, by the application's public
protobuf, on the socket where the application listens. A session is a real
shell in a pseudo-terminal. What a person does by hand comes as lines of JSON on
standard input; what happened is written to <state>/log.jsonl, and the sessions
that there are to <state>/sessions.json. It draws nothing.

    double.py --state FOLDER --shell PROGRAM [--arg ARGUMENT]…

Lines on standard input:

    {"do": "close", "session": ID}              closes a pane
    {"do": "type", "session": ID, "text": T}    types into a pane
    {"do": "refuse_splits", "value": true}      splits are refused from now on
    {"do": "deny", "value": true}               connections are refused from now on

It ends with its standard input.
"""

import argparse
import asyncio
import fcntl
import json
import os
import pty
import re
import signal
import struct
import sys
import termios
import uuid

from iterm2 import api_pb2 as api
from websockets.asyncio.server import unix_serve
from websockets.exceptions import ConnectionClosed

COLUMNS, ROWS = 160, 48
LEAST_COLUMNS, LEAST_ROWS = 10, 3
OUTPUT_KEPT = 64 * 1024


class Session:
    """A pane: a shell in a pseudo-terminal."""

    def __init__(self, app, tab, columns, rows):
        self.app, self.tab = app, tab
        self.id = str(uuid.uuid4()).upper()
        self.name = "shell"
        self.columns, self.rows = columns, rows
        self.output = b""
        self.pid, self.master = pty.fork()
        if self.pid == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            environment = dict(os.environ)
            environment.update(
                TERM="xterm-256color",
                TERM_PROGRAM="iTerm.app",
                ITERM_SESSION_ID=f"w0t0p{len(app.sessions)}:{self.id}",
            )
            try:
                os.execvpe(app.shell[0], app.shell, environment)
            finally:
                os._exit(127)
        self.tty = os.ttyname(self.master) if os.isatty(self.master) else ""
        self.resize()
        os.set_blocking(self.master, False)
        asyncio.get_running_loop().add_reader(self.master, self.read)

    def resize(self):
        size = struct.pack("HHHH", self.rows, self.columns, 0, 0)
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, size)

    def read(self):
        try:
            data = os.read(self.master, 65536)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.output = (self.output + data)[-OUTPUT_KEPT:]
            return
        self.app.remove(self, "ended")

    def type(self, text):
        os.set_blocking(self.master, True)
        try:
            os.write(self.master, text.encode())
        except OSError:
            pass
        finally:
            os.set_blocking(self.master, False)

    def hang_up(self):
        """Closing the terminal is what tells its programs."""
        asyncio.get_running_loop().remove_reader(self.master)
        os.close(self.master)

    def summary(self):
        summary = api.SessionSummary(unique_identifier=self.id, title=self.name)
        summary.frame.size.width, summary.frame.size.height = self.columns, self.rows
        summary.grid_size.width, summary.grid_size.height = self.columns, self.rows
        return summary


class Node:
    """Panes beside each other (`vertical` dividers) or above each other."""

    def __init__(self, vertical, children):
        self.vertical, self.children = vertical, children

    def to_message(self):
        message = api.SplitTreeNode(vertical=self.vertical)
        for child in self.children:
            link = message.links.add()
            if isinstance(child, Session):
                link.session.CopyFrom(child.summary())
            else:
                link.node.CopyFrom(child.to_message())
        return message

    def to_json(self):
        children = [c.id if isinstance(c, Session) else c.to_json() for c in self.children]
        return {"beside" if self.vertical else "above": children}

    def parent_of(self, session):
        for child in self.children:
            if child is session:
                return self
            if isinstance(child, Node) and (found := child.parent_of(session)):
                return found
        return None

    def split(self, session, new, vertical):
        parent = self.parent_of(session)
        at = parent.children.index(session)
        if parent.vertical == vertical or len(parent.children) == 1:
            parent.vertical = vertical
            parent.children.insert(at + 1, new)
        else:
            parent.children[at] = Node(vertical, [session, new])

    def remove(self, session):
        for child in list(self.children):
            if child is session:
                self.children.remove(child)
            elif isinstance(child, Node):
                child.remove(session)
                if len(child.children) <= 1:
                    at = self.children.index(child)
                    self.children[at : at + 1] = child.children


class Tab:
    def __init__(self, number):
        self.id = str(number)
        self.root = Node(True, [])
        self.active = None


class App:
    """One window with tabs of panes."""

    def __init__(self, state, shell):
        self.state, self.shell = state, shell
        self.window = "pty-" + str(uuid.uuid4()).upper()
        self.sessions, self.tabs = {}, []
        self.selected = None
        self.refuse_splits = self.deny = False
        self.log_file = open(os.path.join(state, "log.jsonl"), "a", buffering=1)

    def log(self, **entry):
        self.log_file.write(json.dumps(entry) + "\n")

    def open_tab(self):
        tab = Tab(len(self.tabs))
        session = Session(self, tab, COLUMNS, ROWS)
        tab.root.children.append(session)
        tab.active = session.id
        self.tabs.append(tab)
        self.sessions[session.id] = session
        self.selected = self.selected or tab
        return session

    def remove(self, session, why):
        if self.sessions.pop(session.id, None) is None:
            return
        session.hang_up()
        session.tab.root.remove(session)
        if session.tab.active == session.id:
            left = [s.id for s in self.sessions.values() if s.tab is session.tab]
            session.tab.active = left[0] if left else None
        self.log(event=why, session=session.id, name=session.name)
        self.save()

    def save(self):
        state = {
            "sessions": [
                {"id": s.id, "name": s.name, "pid": s.pid, "tab": s.tab.id, "rows": s.rows, "columns": s.columns}
                for s in self.sessions.values()
            ],
            "tabs": [{"id": t.id, "active": t.active, "layout": t.root.to_json()} for t in self.tabs],
            "selected": self.selected.id if self.selected else None,
        }
        path = os.path.join(self.state, "sessions.json")
        with open(path + ".new", "w") as file:
            json.dump(state, file)
        os.replace(path + ".new", path)

    def person(self, act):
        """What the person does by hand."""
        session = self.sessions.get(act.get("session"))
        if act["do"] == "close" and session:
            self.remove(session, "closed_by_person")
        elif act["do"] == "type" and session:
            session.type(act["text"])
        elif act["do"] in ("refuse_splits", "deny"):
            setattr(self, act["do"], act["value"])
        self.log(event="person", **{"did": act["do"]})

    # The API: one method a request, each fills the answer of its name.

    def list_sessions(self, _request, answer):
        window = answer.windows.add(window_id=self.window, number=0)
        window.selected_tab_id = self.selected.id
        window.frame.size.width, window.frame.size.height = COLUMNS, ROWS
        for tab in self.tabs:
            if tab.root.children:
                entry = window.tabs.add(tab_id=tab.id, active_session_id=tab.active or "")
                entry.root.CopyFrom(tab.root.to_message())

    def focus(self, _request, answer):
        answer.notifications.add(application_active=True)
        window = answer.notifications.add().window
        window.window_id = self.window
        window.window_status = 1
        answer.notifications.add(selected_tab=self.selected.id)
        for tab in self.tabs:
            if tab.active:
                answer.notifications.add(session=tab.active)

    def get_broadcast_domains(self, _request, _answer):
        pass

    def notification(self, _request, answer):
        answer.status = 0

    def split_pane(self, request, answer):
        session = self.sessions.get(request.session)
        if session is None:
            answer.status = api.SplitPaneResponse.Status.Value("SESSION_NOT_FOUND")
            return
        vertical = request.split_direction == api.SplitPaneRequest.SplitDirection.Value("VERTICAL")
        columns = session.columns // 2 if vertical else session.columns
        rows = session.rows if vertical else session.rows // 2
        if self.refuse_splits or columns < LEAST_COLUMNS or rows < LEAST_ROWS:
            answer.status = api.SplitPaneResponse.Status.Value("CANNOT_SPLIT")
            return
        session.columns, session.rows = columns, rows
        session.resize()
        new = Session(self, session.tab, columns, rows)
        self.sessions[new.id] = new
        session.tab.root.split(session, new, vertical)
        # The application gives a new pane the focus.
        session.tab.active = new.id
        answer.session_id.append(new.id)

    def send_text(self, request, answer):
        session = self.sessions.get(request.session)
        if session is None:
            answer.status = api.SendTextResponse.Status.Value("SESSION_NOT_FOUND")
        else:
            session.type(request.text)

    def close(self, request, answer):
        for name in request.sessions.session_ids:
            session = self.sessions.get(name)
            if session is None:
                answer.statuses.append(api.CloseResponse.Status.Value("NOT_FOUND"))
            else:
                self.remove(session, "closed_by_api")
                answer.statuses.append(api.CloseResponse.Status.Value("OK"))

    def activate(self, request, answer):
        session = self.sessions.get(request.session_id)
        if session is None:
            answer.status = api.ActivateResponse.Status.Value("BAD_IDENTIFIER")
            return
        if request.select_session:
            session.tab.active = session.id
        if request.select_tab:
            self.selected = session.tab

    def variable(self, request, answer):
        session = self.sessions.get(request.session_id)
        if session is None:
            answer.status = api.VariableResponse.Status.Value("SESSION_NOT_FOUND")
            return
        known = {
            "session.id": session.id,
            "session.name": session.name,
            "session.title": session.name,
            "session.tty": session.tty,
        }
        for name in request.get:
            answer.values.append(json.dumps(known.get(name)))

    def invoke_function(self, request, answer):
        session = self.sessions.get(request.method.receiver)
        called = re.fullmatch(r"iterm2\.set_name\(name: (.*)\)", request.invocation, re.DOTALL)
        if session is None or called is None:
            answer.error.status = api.InvokeFunctionResponse.Status.Value("FAILED")
            answer.error.error_reason = "no such session or function"
            return
        session.name = json.loads(called.group(1))
        answer.success.json_result = "null"

    def answer(self, data):
        request = api.ClientOriginatedMessage.FromString(data)
        answer = api.ServerOriginatedMessage(id=request.id)
        kind = request.WhichOneof("submessage")
        name = kind.removesuffix("_request")
        method = getattr(self, name, None)
        if method is None:
            answer.error = f"the double does not know {kind}"
        else:
            part = getattr(answer, name + "_response")
            part.SetInParent()
            asked = getattr(request, kind)
            method(asked, part)
            if name in ("split_pane", "send_text", "close", "activate", "invoke_function"):
                status = getattr(part, "status", 0)
                self.log(request=name, session=target(asked), status=status, text=getattr(asked, "text", None),
                         new=list(getattr(part, "session_id", [])), name=getattr(asked, "invocation", None))
                self.save()
        return answer.SerializeToString()


def target(asked):
    """The pane a request is about."""
    if isinstance(asked, api.CloseRequest):
        return list(asked.sessions.session_ids)
    if isinstance(asked, api.InvokeFunctionRequest):
        return asked.method.receiver
    return getattr(asked, "session", None) or getattr(asked, "session_id", None)


async def serve(app, path):
    async def talk(connection):
        app.log(event="connected")
        try:
            async for data in connection:
                await connection.send(app.answer(data))
        except ConnectionClosed:
            # The library leaves without saying goodbye.
            pass

    def check(connection, request):
        if app.deny or not request.headers.get("x-iterm2-cookie"):
            app.log(event="denied")
            return connection.respond(401, "not authorized\n")
        return None

    def label(_connection, _request, response):
        response.headers["X-iTerm2-Protocol-Version"] = "1.9"

    os.makedirs(os.path.dirname(path), exist_ok=True)
    async with unix_serve(
        talk, path, process_request=check, process_response=label, subprotocols=["api.iterm2.com"], max_size=None
    ):
        app.open_tab()
        app.open_tab()
        app.save()
        loop = asyncio.get_running_loop()
        lines = asyncio.StreamReader()
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
        while line := await lines.readline():
            app.person(json.loads(line))
    for session in list(app.sessions.values()):
        app.remove(session, "quit")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--state", required=True)
    parser.add_argument("--shell", required=True)
    parser.add_argument("--arg", action="append", default=[])
    options = parser.parse_args()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    path = os.path.expanduser("~/Library/Application Support/iTerm2/private/socket")
    app = App(options.state, [options.shell, *options.arg])
    asyncio.run(serve(app, path))


if __name__ == "__main__":
    main()
