import DequeModule

/// What waits for its turn: users take turns, and so does all that each of them has waiting.
struct UserQueue<Element> {
    private var waiting: [UInt32: Deque<Element>] = [:]
    /// Users who have something waiting, each once.
    private var users: Deque<UInt32> = []

    var isEmpty: Bool { users.isEmpty }

    mutating func append(_ element: Element, of user: UInt32) {
        guard waiting[user] != nil else {
            waiting[user] = [element]
            return users.append(user)
        }
        waiting[user]?.append(element)
    }

    /// The one whose turn it is, and whose it is.
    mutating func popFirst() -> (element: Element, user: UInt32)? {
        guard let user = users.popFirst(), let element = waiting[user]?.popFirst() else { return nil }
        if waiting[user]?.isEmpty == false {
            users.append(user)
        } else {
            waiting[user] = nil
        }
        return (element, user)
    }
}
