import IOMMU
import JSONRPC

/// `events.*`: what happens without being asked for.
func declareEventMethods(_ methods: inout MethodTable<Service>) {
    let names = BackendEvent.Kind.allCases.map(\.rawValue)

    methods.declare("events.subscribe", "Get notifications of method `event` from now on.") { m in
        let kinds = m.optional("kinds", .flags(names), "Absent: all kinds. A second call replaces the first.")
        let all = m.param("all", .bool, default: false, "Other sessions' events, too: administrators only.")
        m.refuses(.EPERM, .notAllowed, "`all` is for administrators.")
        return { call, service in
            let client = try service.client(call)
            let wanted = call[kinds].map { EventKinds($0) } ?? .all
            try service.subscribe(client, on: call.connection, kinds: wanted, all: call[all])
            return call.reply()
        }
    }

    methods.declare("events.unsubscribe", "Get no more notifications.") { m in
        { call, service in
            service.events.unsubscribe(try service.client(call))
            return call.reply()
        }
    }
}

extension EventKinds {
    fileprivate init(_ flags: Flags) {
        self.init(
            BackendEvent.Kind.allCases.enumerated().filter { flags.bits >> UInt32($0.offset) & 1 != 0 }.map(\.element))
    }
}
