import IOMMU
import JSONRPC

private struct SessionFields {
    let name: Field<String>
    let uid: Field<Count>
    let pid: Field<Count>
    let connections: Field<Count>
    let objects: Field<Count>
    let mappedBytes: Field<Count>
    let delegated: Field<ObjectOf<DelegationFields>>

    static var type: ResultType<ObjectOf<SessionFields>> {
        .object { session in
            SessionFields(
                name: session.optionalResult("name", .string, "Absent: private to one connection."),
                uid: session.result("owner_uid", .count, "Whose it is."),
                pid: session.result("owner_pid", .count, "The process that made it."),
                connections: session.result("connections", .count, "Connections that use it now."),
                objects: session.result("objects", .count, "Objects in it."),
                mappedBytes: session.result("mapped_bytes", .count, "Bytes mapped in its address spaces."),
                delegated: session.optionalResult(
                    "delegated", DelegationFields.type, "Who drives what it has handed out.")
            )
        }
    }
}

private struct DelegationFields {
    let pid: Field<Count>
    let program: Field<String>

    static var type: ResultType<ObjectOf<DelegationFields>> {
        .object { delegation in
            DelegationFields(
                pid: delegation.result("pid", .count, "The process."),
                program: delegation.result("program", .string, "Its program, as it was then."))
        }
    }
}

/// `session.*` and `object.destroy`.
func declareSessionMethods(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "session.attach", "Go on in a named session, which outlives the connection.", changesState: true
    ) { m in
        let name = m.param("name", .string(maximumBytes: 256), "[A-Za-z0-9._-]{1,64}, unique for the user.")
        let create = m.param("create", .bool, default: true, "Make it if it is not there.")
        let session = m.result(
            "session",
            .object { o in
                (
                    name: o.result("name", .string, "Its name."), uid: o.result("owner_uid", .count, "Whose it is."),
                    objects: o.result("objects", .count, "Objects in it."),
                    durable: o.result("durable", .choice(durableNames), "What of it outlives the daemon."),
                    generation: o.result("generation", .hex, "As `daemon.info` has it.")
                )
            }, "The session.")
        m.refuses(.EBUSY, .sessionNotEmpty, "The private session of this connection holds objects.")
        m.refuses(.EBUSY, .delegated, "The private session of this connection has been handed out.")
        m.refuses(.ENOENT, .noSuchSession, "It is not there, and `create` is false.")
        m.refuses(.EINVAL, .badSessionName, "The name is no session name.")
        m.refuses(.EDQUOT, .tooManySessions, "The user has `limits.sessions` named sessions.")
        m.refuses(.opening)
        return { call, service in
            let attached = try service.sessions.attach(try service.client(call), name: call[name], create: call[create])
            let write: (ResultWriter) -> Void = { reply in
                reply.set(session) { object, fields in
                    object.set(fields.name, attached.label)
                    object.set(fields.uid, attached.owner.uid)
                    object.set(fields.objects, attached.context.objectCount)
                    object.set(fields.durable, service.durable.rawValue)
                    object.set(fields.generation, service.generation)
                }
            }
            guard case .later(let opening) = try service.open(attached) else { return call.reply(write) }
            return service.later(call, attached, opening) { reply, _ in write(reply) }
        }
    }

    declareSessionClose(&methods)
    declareSessionLists(&methods)
    declareObjectDestroy(&methods)
}

private func declareSessionClose(_ methods: inout MethodTable<Service>) {
    methods.declare("session.close", "Destroy a session and all in it.", changesState: true) { m in
        let name = m.optional("name", .string(maximumBytes: 256), "Absent: the session of this connection.")
        let uid = m.optional("owner_uid", .count(), "For administrators: whose session; absent: one's own.")
        m.refuses(.ENOENT, .noSuchSession, "There is no such session.")
        m.refuses(.EINVAL, .badSessionName, "The name is no session name.")
        let force = m.param("force", .bool, default: false, "For administrators: end who drives a delegated one, too.")
        m.refuses(.EPERM, .notAllowed, "It belongs to another user, or `force` is asked for by no administrator.")
        m.refuses(.EBUSY, .delegated, "A process drives what it has handed out: `data.pid`, `data.program`.")
        return { call, service in
            let client = try service.client(call)
            let named = try call[name].map { try service.sessions.find($0, uid: call[uid], for: client.peer) }
            let session = named ?? client.session
            if let delegation = session.delegation {
                guard call[force] else { throw delegation.refusal(of: session) }
                return try service.end(delegation, call, by: client)
            }
            return service.reply(call, session, service.sessions.close(session))
        }
    }
}

private func declareObjectDestroy(_ methods: inout MethodTable<Service>) {
    methods.declare("object.destroy", "Destroy an object of the iommufd id space.", changesState: true) { m in
        let id = m.param("id", .id, "An ioas, hwpt, fault, viommu, vdevice or veventq.")
        m.refuses(.unknownObject, .kernel)
        m.refuses(.EBUSY, .objectInUse, "Something still refers to it.")
        m.refuses(.EBUSY, .deviceBound, "It is a bound device; device.unbind ends it.")
        return { call, service in
            let session = try service.client(call).session
            let answer = try session.context.beginDestroy(object: call[id])
            // Whoever waits for an entry of that queue waits in vain.
            service.waits.stir(session.id)
            return service.reply(call, session, answer)
        }
    }
}

private func declareSessionLists(_ methods: inout MethodTable<Service>) {
    methods.declare("session.list", "One's own sessions; all of them for an administrator.") { m in
        let sessions = m.result("sessions", .array(of: SessionFields.type), "The sessions, oldest first.")
        return { call, service in
            let visible = service.sessions.visible(to: try service.client(call).peer)
            return call.reply { reply in
                reply.set(sessions) { list in
                    for session in visible { list.append { $0.write(session, $1) } }
                }
            }
        }
    }

    methods.declare("session.objects", "Every object of this session and what it refers to.") { m in
        let objects = m.result(
            "objects", .array(of: .any), "Each {kind, id, users, refers_to: [{kind, id}], and its state}.")
        return { call, service in
            // Those of now, however long it takes to write them.
            var listing = try service.context(call).listing()
            return call.reply(objects) { list in
                for _ in 0..<8 {
                    guard let object = listing.next() else { return false }
                    list.append(object.json)
                }
                return true
            }
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ session: Session, _ fields: SessionFields) {
        if let name = session.name { set(fields.name, name) }
        set(fields.uid, session.owner.uid)
        set(fields.pid, UInt64(max(session.owner.pid, 0)))
        set(fields.connections, session.clients.count)
        set(fields.objects, session.context.objectCount)
        set(fields.mappedBytes, session.context.mappedBytes)
        if let delegation = session.delegation {
            set(fields.delegated) { object, names in
                object.set(names.pid, UInt64(max(0, delegation.process.pid)))
                object.set(names.program, delegation.program)
            }
        }
    }
}

extension ObjectDescription {
    fileprivate var json: JSONValue {
        let references = refersTo.map { reference in
            JSONValue.object([
                .init(key: "kind", value: .string(reference.kind)),
                .init(key: "id", value: .count(UInt64(reference.id))),
            ])
        }
        return .object(
            [
                .init(key: "kind", value: .string(kind)), .init(key: "id", value: .count(UInt64(id))),
                .init(key: "users", value: .integer(users)), .init(key: "refers_to", value: .array(references)),
            ] + state.map(\.json))
    }
}
