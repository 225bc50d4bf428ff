import IOMMU

extension ObjectContext {
    /// As ``createMemory(size:name:huge:)``; whoever may block has huge pages made.
    package func beginCreateMemory(size: UInt64, name: String?, huge: Bool) throws(IOMMUError) -> Answer<ObjectID> {
        guard huge, let executor = registry.host.longWork else {
            return .now(try createMemory(size: size, name: name, huge: huge))
        }
        let id = try createMemory(size: size, name: name, huge: true, isReserved: false)
        let object = try memory(id)
        let descriptor = object.descriptor
        let made = Deferred<ObjectID>()
        // A key of the session's own: it waits for nobody else.
        executor.perform(key: 1 << 62 | self.id.number) {
            MemoryObject.reserve(descriptor, size: size)
        } completion: { [self] code in
            // The object has kept its descriptor until here, and the session has been asked for nothing else.
            guard code != 0 else { return made.settle(.success(id)) }
            release(object, id: id)
            made.settle(.failure(MemoryObject.refused(code, size: size, huge: true)))
        }
        return .later(made)
    }
}
