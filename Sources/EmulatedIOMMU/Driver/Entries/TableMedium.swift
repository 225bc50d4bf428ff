import SMMUv3

/// Stores into table memory, CFGI through the command queue.
final class TableMedium: EntryMedium {
    private let memory: TableMemory
    private let queue: CommandQueue

    init(memory: TableMemory, queue: CommandQueue) { (self.memory, self.queue) = (memory, queue) }

    func store(_ value: UInt64, at address: UInt64) { memory.store(value, at: address) }

    func synchronize(_ scope: EntryScope) {
        switch scope {
        case .ste(let streamID): queue.append(.CFGI_STE(streamID: streamID))
        case .cd(let streamIDs, let substreamID):
            for streamID in streamIDs { queue.append(.CFGI_CD(streamID: streamID, substreamID: substreamID)) }
        case .cdTable(let streamIDs, let substreamID):
            for streamID in streamIDs {
                queue.append(.CFGI_CD(streamID: streamID, substreamID: substreamID, leaf: false))
            }
        }
        queue.sync()
    }
}
