import IOMMU
import JSONRPC

/// `vsmmu.ring_*`: translations and invalidations through memory that the daemon and a VMM share.
func declareVSMMURingMethods(_ methods: inout MethodTable<Service>) {
    declareRingOpening(&methods)
    declareRingEnd(&methods)
}

private func declareRingOpening(_ methods: inout MethodTable<Service>) {
    methods.declare(
        "vsmmu.ring_open", "Share a ring in memory: its memfd, an eventfd to signal, and one to wait for.",
        changesState: true
    ) { m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        let entries = m.param("entries", .count(1...4096), "Submissions that it is to hold.")
        m.sendsDescriptors(several: true)
        let held = m.result("entries", .count, "Submissions that it holds: the next power of two.")
        let length = m.result("length", .count, "Bytes of its memory.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU, .room, .descriptors)
        m.refuses(.EBUSY, .ringExists, "The SMMU has a ring already.")
        m.refuses(.ENOMEM, .noMemory, "The system has no memory for it.")
        m.refuses(.EAGAIN, .noSignals, "The system has no asynchronous I/O left to signal the eventfd with.")
        return { call, service in
            let client = try service.client(call)
            let ring = try service.bareSMMUs(call).openRing(
                call[vsmmu], entries: Int(call[entries]), loop: service.loop, user: client.peer.identity.uid)
            do {
                for descriptor in ring.descriptors { try call.attach(descriptor) }
            } catch {
                ring.close()
                throw error
            }
            client.add(ring)
            return call.reply {
                $0.set(held, UInt64(ring.entries))
                $0.set(length, ring.length)
            }
        }
    }
}

private func declareRingEnd(_ methods: inout MethodTable<Service>) {
    methods.declare("vsmmu.ring_close", "Take the ring away; what is in it is not read any more.", changesState: true) {
        m in
        let vsmmu = m.param("vsmmu", .id, "The SMMU.")
        m.needs(.bareSMMUs)
        m.refuses(.unknownVSMMU)
        m.refuses(.ENOENT, .noRing, "The SMMU has no ring.")
        return { call, service in
            try service.bareSMMUs(call).closeRing(call[vsmmu])
            return call.reply()
        }
    }
}
