import JSONRPC

/// A request as a line has it.
package func requestText(_ id: String, _ method: String, _ params: String = "{}") -> String {
    #"{"jsonrpc":"2.0","id":\#(id),"method":"\#(method)","params":\#(params)}"#
}

/// Lines that are written out, and replies that are waited for later.
extension MethodCaller {
    /// Sends text as it is.
    package func send(text: String) throws { try send(bytes: Array(text.utf8), descriptors: []) }

    /// The next line, as JSON.
    package func nextReply() throws -> JSONValue {
        guard let line = try receiveLine() else { throw Unexpected("the connection has ended") }
        return try JSONValue(parsing: line)
    }

    /// Asks, and does not wait: ``laterReply()`` does.
    package func ask(_ method: String, _ params: String) throws {
        try send(text: requestText(#""later""#, method, params) + "\n")
    }

    /// The reply to what was asked last.
    package func laterReply() throws -> JSONValue {
        let reply = try nextReply()
        guard reply["id"]?.stringValue == "later" else { throw Unexpected("\(reply.text) answers something else") }
        return reply
    }

    /// The next reply is the answer of this, which is refused nothing.
    package func expectServed() throws {
        try send(text: requestText(#""served""#, "daemon.info") + "\n")
        let reply = try nextReply()
        guard reply["id"]?.stringValue == "served", reply["result"] != nil else {
            throw Unexpected("\(reply.text) comes before what was asked")
        }
    }
}
