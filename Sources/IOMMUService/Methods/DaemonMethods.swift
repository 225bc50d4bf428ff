import IOMMU
import JSONRPC

private struct APIFields {
    let major: Field<Count>
    let minor: Field<Count>

    static var type: ResultType<ObjectOf<APIFields>> {
        .object { api in
            APIFields(
                major: api.result("major", .count, "Grows when something breaks clients."),
                minor: api.result("minor", .count, "Grows with additions.")
            )
        }
    }
}

private struct SystemdFields {
    let notify: Field<Bool>
    let journal: Field<Bool>
    let socketActivated: Field<Bool>
    let watchdog: Field<Bool>

    static var type: ResultType<ObjectOf<SystemdFields>> {
        .object { systemd in
            SystemdFields(
                notify: systemd.result("notify", .bool, "It reports to a service manager."),
                journal: systemd.result("journal", .bool, "It logs to the journal with fields."),
                socketActivated: systemd.result("socket_activated", .bool, "Its socket was passed to it."),
                watchdog: systemd.result("watchdog", .bool, "A service manager watches that it answers.")
            )
        }
    }
}

private struct PoolFields {
    let pool: Field<String>
    let capacity: Field<Count>
    let uid: Field<Count>
    let used: Field<Count>
    let limit: Field<Count>

    static var type: ResultType<ObjectOf<PoolFields>> {
        .object { share in
            PoolFields(
                pool: share.result("pool", .string, "What it is."),
                capacity: share.result("capacity", .count, "All that there is of it."),
                uid: share.result("uid", .count, "Who holds some of it, in all sessions."),
                used: share.result("used", .count, "How much."),
                limit: share.optionalResult("limit", .count, "How much that may be; absent for administrators.")
            )
        }
    }
}

extension ResultWriter {
    fileprivate func write(_ systemd: DaemonFacts.Systemd, _ fields: SystemdFields) {
        set(fields.notify, systemd.notify)
        set(fields.journal, systemd.journal)
        set(fields.socketActivated, systemd.socketActivated)
        set(fields.watchdog, systemd.watchdog)
    }

    fileprivate func write(_ share: PoolShare, _ fields: PoolFields) {
        set(fields.pool, share.pool.name)
        set(fields.capacity, share.pool.capacity)
        set(fields.uid, UInt64(share.uid))
        set(fields.used, share.used)
        if share.count.pointee.limit < .max { set(fields.limit, share.count.pointee.limit) }
    }
}

/// `daemon.*` and `topology.list`.
func declareDaemonMethods(_ methods: inout MethodTable<Service>) {
    declareDaemonInfo(&methods)
    declareDaemonStatistics(&methods)
    declareTopology(&methods)
}

private func declareDaemonInfo(_ methods: inout MethodTable<Service>) {
    methods.declare("daemon.info", "What this daemon is and can do.") { m in
        let name = m.result("name", .string, "iommud")
        let version = m.result("version", .string, "Of the program.")
        let api = m.result("api", APIFields.type, "Of the contract.")
        let backend = m.result("backend", .choice(["emulated", "kernel"]), "What stands behind the methods.")
        let features = m.result("features", .array(of: .string), "What clients can expect of the backend.")
        let pid = m.result("pid", .count, "The daemon's process.")
        let connection = m.result("connection", .count, "The caller's number, which events of private sessions name.")
        let generation = m.result(
            "generation", .hex, "A random number: another one where nothing was found of before the last restart.")
        let starts = m.result("starts", .count, "How often the daemon has started with this state.")
        let durable = m.result(
            "durable", .choice(durableNames),
            "What of named sessions outlives the daemon; journal: all but memory and address spaces of processes.")
        let uptime = m.result("uptime_seconds", .count, "Seconds since it started.")
        let systemd = m.result("systemd", SystemdFields.type, "How systemd is connected.")
        return { call, service in
            let facts = service.facts
            let number = try service.client(call).number
            return call.reply { reply in
                reply.set(name, "iommud" as StaticString)
                reply.set(version, DaemonVersion.text)
                reply.set(api) { object, fields in
                    object.set(fields.major, MethodCatalog.api.major)
                    object.set(fields.minor, MethodCatalog.api.minor)
                }
                reply.set(backend, service.backend.kind)
                reply.set(features) { list in for feature in service.backend.features { list.append(feature) } }
                reply.set(pid, UInt64(facts.pid))
                reply.set(connection, number)
                reply.set(generation, service.generation)
                reply.set(starts, service.starts)
                reply.set(durable, service.durable.rawValue)
                reply.set(uptime, facts.uptimeSeconds)
                reply.set(systemd) { $0.write(facts.systemd, $1) }
            }
        }
    }
}

private func declareDaemonStatistics(_ methods: inout MethodTable<Service>) {
    methods.declare("daemon.stats", "Counters and gauges, the same that the Prometheus endpoint gives.") { m in
        let counters = m.result("counters", .map(of: .count), "Only grow while the daemon runs.")
        let gauges = m.result("gauges", .map(of: .count), "As things are now.")
        let calls = m.result("requests", .map(of: .count), "Requests carried out or refused, by method.")
        let errors = m.result("errors", .map(of: .count), "Those answered with an error, by method.")
        let turns = m.result(
            "turns", .map(of: .count), "Turns of the loop, by the microseconds that they stayed below.")
        let longest = m.result(
            "longest_turn_microseconds", .map(of: .count), "The longest turn since the start, by what it was at.")
        let pools = m.result(
            "pools", .array(of: PoolFields.type),
            "What one holds oneself, for an administrator everybody, of what there is only so much of for all.")
        return { call, service in
            let figures = service.metrics.read()
            let shares = service.sessions.poolShares(visibleTo: try service.client(call).peer)
            return call.reply { reply in
                reply.set(counters) { map in
                    for figure in figures where figure.labels.isEmpty && figure.kind == .counter {
                        map.set(figure.name, figure.value)
                    }
                }
                reply.set(gauges) { map in
                    for figure in figures where figure.labels.isEmpty && figure.kind == .gauge {
                        map.set(figure.name, figure.value)
                    }
                }
                reply.set(calls) { $0.setByLabel(figures, "requests_total") }
                reply.set(errors) { $0.setByLabel(figures, "request_errors_total") }
                reply.set(turns) { $0.setByLabel(figures, "turns_total") }
                reply.set(longest) { $0.setByLabel(figures, "longest_turn_microseconds") }
                reply.set(pools) { list in
                    for share in shares { list.append { $0.write(share, $1) } }
                }
            }
        }
    }
}

extension MapWriter where Element == Count {
    fileprivate func setByLabel(_ figures: [Metric], _ name: String) {
        for figure in figures where figure.name == name {
            if let label = figure.labels.first { set(label.value, figure.value) }
        }
    }
}
