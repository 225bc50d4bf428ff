import Durability
import IOMMU
import JSONRPC

/// As replies have them.
let durableNames = Durable.allCases.map(\.rawValue)

extension Service {
    /// What outlives the daemon of named sessions that are made now.
    var durable: Durable { keeper?.durable ?? .none }
    /// See `daemon.info`.
    var generation: UInt64 { keeper?.generation ?? ownGeneration }
    /// See `daemon.info`.
    var starts: UInt32 { keeper?.starts ?? 1 }
}

/// `state.*`: what outlives the daemon.
func declareStateMethods(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "state.discard", "Give up all named sessions that were stored and cannot be read.", role: .admin,
        changesState: true
    ) { m in
        m.refuses(.EINVAL, .stateIntact, "What was stored can be read, and is in use.")
        m.refuses(.EIO, .stateUnwritable, "The journal cannot be put aside.")
        return { call, service in
            guard let keeper = service.keeper else { throw StateKeeper.intact }
            try keeper.discard()
            return call.reply()
        }
    }
}
