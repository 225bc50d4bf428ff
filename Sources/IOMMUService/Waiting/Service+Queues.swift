import IOMMU
import JSONRPC

extension Service {
    /// Answers with what a queue of the session holds: at once, or when something comes, if a client that finds nothing
    /// wants to wait.
    ///
    /// - Parameters:
    ///   - milliseconds: how long; what is answered then is what there is, even if that is nothing.
    ///   - take: takes entries out of the queue.
    func readQueue<Entry>(
        _ call: Call, waiting milliseconds: UInt32?,
        take: @escaping (any IOMMUContext) throws(IOMMUError) -> [Entry],
        write: @escaping (ResultWriter, [Entry]) -> Void
    ) throws -> Outcome {
        let session = try client(call).session
        let context = session.context
        let ready = try take(context)
        guard ready.isEmpty, let milliseconds, milliseconds > 0 else { return call.reply { write($0, ready) } }
        return waits.wait(call, session, milliseconds: UInt64(milliseconds)) { parked, isLast in
            let ready = try take(context)
            guard !ready.isEmpty || isLast else { return false }
            parked.reply { write($0, ready) }
            return true
        }
    }
}
