import Glibc

extension Dispatcher {
    func invalidRequest(_ why: String, hint: String) -> RPCError {
        RPCError(code: RPCError.invalidRequest, errno: EINVAL, reason: "invalid_request", message: why, hint: hint)
    }

    func invalidMember(_ name: String, _ expected: String) -> RPCError {
        invalidRequest("the member “\(name)” of the request is missing or wrong", hint: "give \(expected)")
    }

    func notAdmin(_ method: String) -> RPCError {
        RPCError(
            errno: EPERM, reason: "not_allowed", message: "\(method) is for administrators of the daemon only",
            hint: "call it as root, as the daemon's own user, or as a member of the administrators' group")
    }

    func refuseUnknown(_ name: String, _ connection: Connection, _ id: UnsafeBufferPointer<UInt8>) {
        let shown = String(name.prefix(128))
        let error = RPCError(
            code: RPCError.methodNotFound, errno: ENOSYS, reason: "unknown_method",
            message: "there is no method “\(shown)”", hint: "rpc.discover lists all methods")
        guard let base = id.baseAddress else { return }
        onRefusal?(connection, shown, error, nil)
        connection.writeError(error, id: base, id.count, method: shown)
    }

    /// Refuses something that is no request; its id is echoed where it has one.
    func refuse(
        _ error: RPCError, _ nodes: UnsafeMutablePointer<JSONNode>, _ id: Int, _ text: UnsafeMutablePointer<UInt8>,
        _ connection: Connection
    ) {
        onRefusal?(connection, nil, error, nil)
        guard id != 0, Self.isID(nodes[id].kind) else { return connection.writeError(error) }
        let (bytes, length) = Self.idBytes(nodes, id, text)
        connection.writeError(error, id: bytes, length, method: nil)
    }

    /// Refuses a line or a batch as a whole.
    func refuse(_ error: RPCError, _ connection: Connection) {
        onRefusal?(connection, nil, error, nil)
        connection.writeError(error)
    }

    /// Refuses a call of a known method; nothing is written for a notification.
    func refuse(_ error: RPCError, cause: (any Error)?, _ connection: Connection, id: [UInt8], method: Int) {
        counters[method].errors &+= 1
        let name = declarations[method].title
        onRefusal?(connection, name, error, cause)
        id.withUnsafeBufferPointer { id in
            guard let base = id.baseAddress, !id.isEmpty else { return }
            connection.writeError(error, id: base, id.count, method: name)
        }
    }

    /// What is wrong with a written result, if it is not as declared.
    func mismatch(_ bytes: ByteBuffer, from start: Int, method: Int) -> RPCError? {
        guard !declarations[method].hasFreeResult else { return nil }
        let length = bytes.count - start
        var copy = ByteBuffer(capacity: length + 1)
        defer { copy.deallocate() }
        copy.append(bytes.base + start, length)
        copy.append(0)
        var parser = JSONParser()
        defer { parser.deallocate() }
        let program = resultPrograms[method]
        let slots = UnsafeMutablePointer<ParameterSlot>.allocate(capacity: program.slotCount + 1)
        defer { slots.deallocate() }
        guard parser.parse(copy.base, length: length) else { return notAsDeclared("it is no JSON", method) }
        let source = ParameterSource(slots: slots, nodes: parser.nodes, text: copy.base, program: program.tables)
        guard !source.acceptObject(0, program.tables.pointee.types + program.root) else { return nil }
        return notAsDeclared(program.tables.pointee.failure.pointee.error(method: "result").message, method)
    }

    private func notAsDeclared(_ why: String, _ method: Int) -> RPCError {
        RPCError(
            code: RPCError.internalError, errno: EIO, reason: "reply_mismatch",
            message: "the reply of \(declarations[method].title) is not as declared: \(why)",
            hint: "report this as a mistake of the daemon's")
    }
}
