import IOMMU
import SMMUv3

extension SMMUDriver {
    /// Takes a device on: its streams get STEs, which abort.
    ///
    /// - Throws: `EINVAL` for a StreamID the SMMU does not have, `EEXIST` if another device has it, `ENOMEM`.
    package func makeMaster(
        streamIDs: [UInt32], pasidBits: Int, stall: Bool, pri: Bool, ats: Bool
    ) throws(IOMMUError) -> Master {
        for (index, streamID) in streamIDs.enumerated() {
            guard masters[streamID] == nil, !streamIDs[..<index].contains(streamID) else {
                throw IOMMUError(
                    .EEXIST, .streamIDTaken, "StreamID \(streamID) of \(name) belongs to another device",
                    hint: "give each device its own StreamIDs",
                    ["stream_id": .number(UInt64(streamID))]
                )
            }
        }
        try streams.prepare(streamIDs)
        let master = Master(
            driver: self, streamIDs: streamIDs,
            pasidBits: features.hasStage1 ? min(max(pasidBits, 0), features.substreamIDBits) : 0,
            stall: stall && features.hasStall, pri: pri && features.hasPRI, ats: ats && features.hasATS
        )
        for streamID in streamIDs { masters[streamID] = master }
        return master
    }

    /// Lets a device go: everything it had is detached first.
    package func removeMaster(_ master: Master) {
        for pasid in master.pasidAttachments.keys.sorted() { detach(master, pasid: pasid) }
        detach(master, pasid: nil)
        master.contexts?.destroy()
        master.contexts = nil
        for streamID in master.streamIDs { masters[streamID] = nil }
        streams.release(master.streamIDs) { streamID in
            queue.append(.CFGI_STE_RANGE(streamID: streamID, range: UInt64(StreamTable.split) - 1))
            // Leaf = 0: the level 1 descriptor too.
            queue.append(.CFGI_STE(streamID: streamID, leaf: false))
            queue.sync()
        }
    }

    /// The device that a stream belongs to.
    package func master(ofStream streamID: UInt32) -> Master? { masters[streamID] }

    /// Detaching needs nothing that could be missing.
    package func detach(_ master: Master, pasid: UInt32?) {
        commit(PreparedAttachment(master: master, pasid: pasid, target: .blocked))
    }
}
