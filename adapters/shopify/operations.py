"""Every GraphQL operation that we send to Shopify, each valid by itself: `tests/unit/adapters/shopify` lints them."""

from __future__ import annotations

CARD = """
fragment Card on Order {
  id sourceIdentifier poNumber cancelledAt
  reference: metafield(namespace: $namespace, key: $key) { value }
  content: metafield(namespace: $namespace, key: "content") { value }
}
"""

CREATE = """
mutation CreateOrder($order: OrderCreateOrderInput!, $options: OrderCreateOptionsInput) {
  orderCreate(order: $order, options: $options) {
    order {
      id sourceIdentifier currencyCode currentSubtotalLineItemsQuantity
      totalPriceSet { shopMoney { amount } }
      lineItems(first: 50) { nodes { quantity variant { id } } pageInfo { hasNextPage } }
    }
    userErrors { field message code }
  }
}
"""

FIND = (
    """
query FindOrder($namespace: String!, $key: String!, $value: String!, $search: String!) {
  orderByIdentifier(identifier: {customId: {namespace: $namespace, key: $key, value: $value}}) { ...Card }
  orders(first: 20, query: $search, sortKey: CREATED_AT) { nodes { ...Card } pageInfo { hasNextPage } }
}
"""
    + CARD
)

ORDER = (
    """
query ReadOrder($id: ID!, $namespace: String!, $key: String!) {
  order(id: $id) {
    ...Card
    currencyCode currentTotalPriceSet { shopMoney { amount } }
    customAttributes { key value }
    fulfillments(first: 50) { id status }
    lineItems(first: 100) {
      nodes { id currentQuantity customAttributes { key value } variant { id } }
      pageInfo { hasNextPage }
    }
  }
}
"""
    + CARD
)

CANCEL = """
mutation CancelOrder($id: ID!, $restock: Boolean!, $note: String) {
  orderCancel(
    orderId: $id, restock: $restock, reason: OTHER, notifyCustomer: false,
    refundMethod: {originalPaymentMethodsRefund: false}, staffNote: $note
  ) {
    job { id done }
    orderCancelUserErrors { field message code }
  }
}
"""

JOB = """
query ReadJob($job: ID!, $order: ID!) {
  job(id: $job) { id done }
  order(id: $order) { id cancelledAt }
}
"""

EDIT_BEGIN = """
mutation BeginEdit($id: ID!) {
  orderEditBegin(id: $id) {
    calculatedOrder {
      id
      lineItems(first: 100) { nodes { id quantity customAttributes { key value } } pageInfo { hasNextPage } }
    }
    userErrors { field message }
  }
}
"""

EDIT_QUANTITY = """
mutation EditQuantity($id: ID!, $line: ID!, $quantity: Int!, $restock: Boolean!) {
  orderEditSetQuantity(id: $id, lineItemId: $line, quantity: $quantity, restock: $restock) {
    calculatedLineItem { id quantity }
    userErrors { field message }
  }
}
"""

EDIT_COMMIT = """
mutation CommitEdit($id: ID!, $note: String) {
  orderEditCommit(id: $id, notifyCustomer: false, staffNote: $note) {
    order { id }
    userErrors { field message }
  }
}
"""

UPDATE = """
mutation UpdateOrder($input: OrderInput!) {
  orderUpdate(input: $input) {
    order { id currencyCode currentTotalPriceSet { shopMoney { amount } } }
    userErrors { field message }
  }
}
"""

SHIPMENTS = """
query ReadShipments($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Order {
      id cancelledAt
      fulfillments(first: 20) {
        id status createdAt updatedAt
        trackingInfo(first: 10) { company number url }
        fulfillmentLineItems(first: 50) {
          nodes { quantity lineItem { id customAttributes { key value } } }
          pageInfo { hasNextPage }
        }
      }
    }
  }
}
"""

PARCEL = """
query ReadParcel($id: ID!, $after: String) {
  fulfillment(id: $id) {
    fulfillmentLineItems(first: 100, after: $after) {
      nodes { quantity lineItem { id customAttributes { key value } } }
      pageInfo { hasNextPage endCursor }
    }
  }
}
"""

ARTICLE = """
fragment Article on ProductVariant {
  id sku price
  inventoryItem { id tracked }
}
"""

RESOLVE = (
    """
query ResolveSkus($search: String!, $after: String) {
  productVariants(first: 100, query: $search, after: $after) {
    nodes { ...Article }
    pageInfo { hasNextPage endCursor }
  }
}
"""
    + ARTICLE
)

LEVELS = """
query ReadLevels($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on ProductVariant {
      id sku
      inventoryItem {
        id tracked
        inventoryLevels(first: 20) {
          nodes { location { id } quantities(names: ["available"]) { name quantity } }
          pageInfo { hasNextPage }
        }
      }
    }
  }
}
"""

SWEEP = """
{
  productVariants {
    edges {
      node {
        id sku price
        inventoryItem {
          id tracked
          inventoryLevels {
            edges { node { id quantities(names: ["available"]) { name quantity } } }
          }
        }
      }
    }
  }
}
"""
"""What the bulk operation runs: its answer is a line for each variant and each level."""

SWEEP_START = """
mutation StartSweep($query: String!) {
  bulkOperationRunQuery(query: $query) {
    bulkOperation { id status }
    userErrors { field message code }
  }
}
"""

SWEEP_STATE = """
query SweepState($id: ID!) {
  bulkOperation(id: $id) { id status errorCode objectCount url }
}
"""

ADJUST = """
mutation AdjustStock($input: InventoryAdjustQuantitiesInput!, $idempotencyKey: String!) {
  inventoryAdjustQuantities(input: $input) @idempotent(key: $idempotencyKey) {
    inventoryAdjustmentGroup { id }
    userErrors { field message code }
  }
}
"""

TRAITS = """
query ReadTraits($namespace: String!, $key: String!) {
  currentAppInstallation { accessScopes { handle } }
  shop { currencyCode plan { partnerDevelopment } }
  metafieldDefinition(identifier: {ownerType: ORDER, namespace: $namespace, key: $key}) {
    id
    type { name }
    capabilities { uniqueValues { enabled } }
  }
}
"""

AFTERSALES = """
query ReadAftersales($ids: [ID!]!) {
  nodes(ids: $ids) {
    ... on Order {
      id cancelledAt cancellation { staffNote }
      refunds(first: 20) {
        id
        totalRefundedSet { shopMoney { amount currencyCode } }
        refundLineItems(first: 50) { nodes { quantity } }
      }
      returns(first: 20) { nodes { id status totalQuantity } }
    }
  }
}
"""
