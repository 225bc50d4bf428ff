import Glibc

@testable import JSONRPC

/// What the methods under test act on.
final class Workbench {
    var parked: [ParkedCall] = []
    /// Answers that calls wait for.
    var late: [() -> Void] = []
    var cancelled = 0
    var calls: [String] = []
}

enum Direction: String, ParameterChoice { case read, write }

func workbenchMethods() -> MethodTable<Workbench> {
    var methods = MethodTable<Workbench>()
    declareMap(&methods)
    declareSum(&methods)
    declareDescriptors(&methods)
    declareWaiting(&methods)
    declareLong(&methods)
    declareOdd(&methods)
    methods.declareDiscovery(title: "bench", version: "1")
    return methods
}

private func declareMap(_ methods: inout MethodTable<Workbench>) {
    methods.declare("ioas.map", "Map.", changesState: true) { m in
        let ioas = m.param("ioas", .id, "The IOAS.")
        let offset = m.param("offset", .address, default: 0, "Offset.")
        let length = m.param("length", .address, "Length.")
        let iova = m.optional("iova", .address, "Where.")
        let access = m.param("access", .flags(["read", "write"]), "Access.")
        let place = m.result("iova", .hex, "Where.")
        let names = m.result("access", .flags(["read", "write"]), "Access.")
        m.refuses(ENOENT, "unknown_ioas", "No such IOAS.")
        return { call, bench in
            bench.calls.append("map \(call[ioas]) \(call[offset]) \(call[length])")
            guard call[ioas] != 99 else {
                throw RPCError(errno: ENOENT, reason: "unknown_ioas", message: "No IOAS 99.", hint: "Allocate one.")
                    .with("ioas", .count(99))
            }
            return call.reply {
                $0.set(place, call[iova] ?? 0x1000)
                $0.set(names, bits: call[access].bits)
            }
        }
    }
}

private func declareSum(_ methods: inout MethodTable<Workbench>) {
    struct Pair {
        let direction: Param<Direction>
        let value: Param<UInt64?>
    }
    methods.declare("sum", "Add up nested values.") { m in
        let pair = ParamType<Object<Pair>>.object { o in
            Pair(
                direction: o.param("direction", .choice(Direction.self), "Sign."),
                value: o.optional("value", .address, "Value."))
        }
        let pairs = m.param("pairs", .array(of: pair, count: 1...1000), "Pairs.")
        let words = m.optional("words", .array(of: .array(of: .address, count: 2...2)), "Words.")
        let total = m.result("total", .count, "Sum.")
        let seen = m.result(
            "seen", .array(of: .object { ($0.result("v", .hex, "Value."), $0.result("d", .string, "Sign.")) }), "All.")
        return { call, _ in
            var sum = 0
            call[pairs].forEach { element, f in
                let value = Int(element[f.value] ?? 0)
                sum += element[f.direction] == .write ? value : -value
            }
            call[words]?.forEach { pair in pair.forEach { sum += Int($0) } }
            return call.reply { reply in
                reply.set(total, sum)
                reply.set(seen) { list in
                    call[pairs].forEach { element, f in
                        list.append { o, kind in
                            o.set(kind.0, element[f.value] ?? 0)
                            o.set(kind.1, element[f.direction].rawValue)
                        }
                    }
                }
            }
        }
    }
}

private func declareDescriptors(_ methods: inout MethodTable<Workbench>) {
    methods.declare("fd.take", "Take a descriptor and close it.") { m in
        m.takesDescriptors(1)
        let number = m.param("number", .count(0...1000), default: 0, "Ignored.")
        _ = number
        return { call, _ in
            _ = try call.takeDescriptor()
            return call.reply()
        }
    }
    methods.declare("fd.echo", "Send back descriptors.") { m in
        m.takesDescriptors(0...16)
        m.sendsDescriptors(several: true)
        let count = m.param("count", .count(0...253), default: 1, "How many.")
        return { call, _ in
            for _ in 0..<call[count] { try call.attach(try call.takeDescriptor()) }
            return call.reply()
        }
    }
}

private func declareWaiting(_ methods: inout MethodTable<Workbench>) {
    methods.declare("park", "Wait.") { m in
        let name = m.optional("name", .string(maximumBytes: 8), "Name.")
        _ = m.optionalResult("answer", .string, "Answer.")
        return { call, bench in
            bench.calls.append("park \(call[name] ?? "-")")
            let parked = call.park { bench.cancelled += 1 }
            bench.parked.append(parked)
            return .later(parked)
        }
    }
    methods.declare("note", "Remember that it was called.") { m in
        let text = m.param("text", .string(), "Text.")
        let length = m.result("length", .count, "Bytes.")
        return { call, bench in
            bench.calls.append(call[text])
            return call.reply { $0.set(length, call[text].utf8.count) }
        }
    }
    methods.declare("blob", "Send many bytes.") { m in
        let bytes = m.param("bytes", .count(0...8_000_000), "How many.")
        let data = m.result("data", .base64, "Zeros.")
        return { call, _ in call.reply { $0.set(data, [UInt8](repeating: 0, count: Int(call[bytes]))) } }
    }
}

private func declareLong(_ methods: inout MethodTable<Workbench>) {
    methods.declare("count", "List numbers from 0.") { m in
        let limit = m.param("limit", .count(), "How many.")
        let isLate = m.param("late", .bool, default: false, "Whether it waits first.")
        let numbers = m.result("numbers", .array(of: .count), "The numbers.")
        let total = m.result("total", .count, "How many there are.")
        return { call, bench in
            let count = call[limit]
            var next: UInt64 = 0
            func append(_ list: ListWriter<Count>) -> Bool {
                guard next < count else { return false }
                list.append(next)
                next += 1
                return true
            }
            func end(_ reply: ResultWriter) {
                reply.set(total, next)
                bench.calls.append("count \(next)")
            }
            guard call[isLate] else { return call.reply(numbers, inPieces: append, then: end) }
            let parked = call.park { bench.cancelled += 1 }
            bench.late.append { parked.reply(numbers, inPieces: append, then: end) }
            return .later(parked)
        }
    }
}

private func declareOdd(_ methods: inout MethodTable<Workbench>) {
    methods.declare("lie", "Reply otherwise than declared.") { m in
        _ = m.result("value", .count, "Value.")
        return { call, _ in call.reply() }
    }
    methods.declare("change.mind", "Reply, then fail.") { m in
        m.sendsDescriptors()
        let text = m.result("text", .string, "Text.")
        return { call, _ in
            if call.waitingDescriptors > 0 { try call.attach(try call.takeDescriptor()) }
            _ = call.reply { $0.set(text, "done") }
            throw RPCError(errno: EIO, reason: "after_all", message: "It failed after all.")
        }
    }
    methods.declare("admin", "For administrators.", role: .admin) { _ in { call, _ in call.reply() } }
    methods.declare("crash", "Fail with an error of no known form.") { _ in
        struct Odd: Error {}
        return { _, _ in throw Odd() }
    }
}
